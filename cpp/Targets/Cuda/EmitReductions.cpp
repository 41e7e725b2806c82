//===- EmitReductions.cpp - Several threads per result ----------------------===//
//
// The threads of a warp or block take turns along the reduced elements, in registers; then partial results meet by
// shuffles, and across warps in shared memory. Who adds to whom depends on the kernel alone: every run gives the same
// bits, and no atomic operation is needed.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/Nest.h"

#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

constexpr int64_t kWarpLanes = 32;
constexpr int64_t kBlockThreads = 256;

/// How partial results are combined: an operation on two of them, and what changes nothing.
struct Combiner {
  Operation *op;
  TypedAttr neutral;

  Value combine(OpBuilder &builder, Location loc, Value a, Value b) const {
    IRMapping map;
    map.map(op->getOperand(0), a);
    map.map(op->getOperand(1), b);
    Operation *copy = builder.clone(*op, map);
    copy->setLoc(loc);
    return copy->getResult(0);
  }
};

std::optional<Combiner> combinerOf(linalg::LinalgOp op) {
  SmallVector<Operation *> found;
  if (op.getNumDpsInits() != 1 || !matchReduction(op.getRegionOutputArgs(), 0, found) || found.size() != 1)
    return std::nullopt;
  std::optional<TypedAttr> neutral = arith::getNeutralElement(found.front());
  if (!neutral || found.front()->getNumOperands() != 2)
    return std::nullopt;
  // The value itself must not be needed by anything else of the body.
  BlockArgument accumulator = op.getRegionOutputArgs().front();
  if (!accumulator.hasOneUse())
    return std::nullopt;
  return Combiner{found.front(), *neutral};
}

/// The value of the lane whose number differs in the bits of `mask`.
Value exchange(DeviceKernel &kernel, Value value, int64_t mask) {
  OpBuilder &inside = kernel.inside;
  Location loc = kernel.loc;
  auto i32 = inside.getI32Type();
  auto constant = [&](int64_t number) -> Value {
    return arith::ConstantOp::create(inside, loc, inside.getI32IntegerAttr(number));
  };
  auto shuffle = [&](Value word) -> Value {
    return NVVM::ShflOp::create(inside, loc, word.getType(), constant(-1), word, constant(mask), constant(31),
                                NVVM::ShflKind::bfly, UnitAttr());
  };
  Type type = value.getType();
  unsigned bits = type.getIntOrFloatBitWidth();
  if (type.isF32() || type.isInteger(32))
    return shuffle(value);
  auto integer = inside.getIntegerType(bits);
  Value raw = type == integer ? value : arith::BitcastOp::create(inside, loc, integer, value).getResult();
  if (bits < 32) {
    raw = arith::TruncIOp::create(inside, loc, integer, shuffle(arith::ExtUIOp::create(inside, loc, i32, raw)));
  } else {
    Value low = arith::TruncIOp::create(inside, loc, i32, raw);
    Value shift = arith::ConstantOp::create(inside, loc, inside.getI64IntegerAttr(32));
    Value high = arith::TruncIOp::create(inside, loc, i32, arith::ShRUIOp::create(inside, loc, raw, shift));
    low = arith::ExtUIOp::create(inside, loc, integer, shuffle(low));
    high = arith::ExtUIOp::create(inside, loc, integer, shuffle(high));
    raw = arith::OrIOp::create(inside, loc, low, arith::ShLIOp::create(inside, loc, high, shift));
  }
  return type == integer ? raw : arith::BitcastOp::create(inside, loc, type, raw).getResult();
}

/// Combines the values of all lanes of a warp; each lane gets the result.
Value acrossWarp(DeviceKernel &kernel, const Combiner &combiner, Value value, int64_t lanes = kWarpLanes) {
  for (int64_t mask = lanes / 2; mask > 0; mask /= 2)
    value = combiner.combine(kernel.inside, kernel.loc, value, exchange(kernel, value, mask));
  return value;
}

/// Combines the values of all threads of a block; the first warp gets the result.
Value acrossBlock(DeviceKernel &kernel, const Combiner &combiner, Value value, Value neutral) {
  OpBuilder &inside = kernel.inside;
  Location loc = kernel.loc;
  int64_t warps = kBlockThreads / kWarpLanes;
  Type stored = value.getType();
  // A bool has no place of its own in memory.
  if (stored.isInteger(1))
    stored = inside.getI8Type();
  Value memory = kernel.shared(stored, warps);
  value = acrossWarp(kernel, combiner, value);
  Value size = kernel.index(kWarpLanes);
  Value warp = arith::DivUIOp::create(inside, loc, kernel.threadId(), size);
  Value lane = arith::RemUIOp::create(inside, loc, kernel.threadId(), size);
  Value first = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, lane, kernel.index(int64_t{0}));
  scf::IfOp::create(inside, loc, first, [&](OpBuilder &builder, Location) {
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPoint(builder.getInsertionBlock(), builder.getInsertionPoint());
    Value kept = stored == value.getType() ? value : arith::ExtUIOp::create(inside, loc, stored, value).getResult();
    LLVM::StoreOp::create(inside, loc, kept, kernel.sharedAddress(memory, stored, warp));
    scf::YieldOp::create(inside, loc);
  });
  kernel.barrier();
  // Lanes beyond the number of warps read one of the others' values and drop it.
  Value within = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::ult, lane, kernel.index(warps));
  Value place = arith::SelectOp::create(inside, loc, within, lane, kernel.index(int64_t{0}));
  Value loaded = LLVM::LoadOp::create(inside, loc, stored, kernel.sharedAddress(memory, stored, place));
  if (stored != value.getType())
    loaded = arith::TruncIOp::create(inside, loc, value.getType(), loaded);
  loaded = arith::SelectOp::create(inside, loc, within, loaded, neutral);
  return acrossWarp(kernel, combiner, loaded, warps);
}

} // namespace

bool cuda::emitReduction(Nest &nest, int64_t threads) {
  std::optional<Combiner> combiner = combinerOf(nest.op);
  AffineMap written = nest.op.getMatchingIndexingMap(nest.op.getDpsInitOperand(0));
  bool ordered = llvm::any_of(nest.reductions, [&](unsigned loop) { return written.isFunctionOfDim(loop); });
  if (!combiner || ordered || nest.reductions.empty())
    return false;
  DeviceKernel &kernel = nest.kernel;
  OpBuilder &inside = kernel.inside;
  Location loc = kernel.loc;
  SmallVector<OpFoldResult> results = nest.rangesOf(nest.parallel), reduced = nest.rangesOf(nest.reductions);
  OpFoldResult count = kernel.product(results), length = kernel.product(reduced);
  int64_t perBlock = kBlockThreads / threads;

  Value group = kernel.blockId(), lane = kernel.threadId();
  if (perBlock > 1) {
    Value size = kernel.index(threads);
    Value base = arith::MulIOp::create(inside, loc, kernel.blockId(), kernel.index(perBlock));
    group = arith::AddIOp::create(inside, loc, base, arith::DivUIOp::create(inside, loc, kernel.threadId(), size));
    lane = arith::RemUIOp::create(inside, loc, kernel.threadId(), size);
  }
  // All threads of a group take the same way here.
  Value within = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::ult, group, kernel.index(count));
  auto guarded = scf::IfOp::create(inside, loc, within);
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(guarded.thenBlock());
  SmallVector<Value> point(nest.op.getNumLoops());
  for (auto [loop, value] : llvm::zip_equal(nest.parallel, kernel.delinearise(group, results)))
    point[loop] = value;
  Value neutral = arith::ConstantOp::create(inside, loc, combiner->neutral);
  auto loop = scf::ForOp::create(inside, loc, lane, kernel.index(length), kernel.index(threads), ValueRange{neutral});
  {
    OpBuilder::InsertionGuard inner(inside);
    inside.setInsertionPointToStart(loop.getBody());
    for (auto [dim, value] : llvm::zip_equal(nest.reductions, kernel.delinearise(loop.getInductionVar(), reduced)))
      point[dim] = value;
    SmallVector<Value> arguments;
    for (OpOperand *input : nest.op.getDpsInputOperands())
      arguments.push_back(nest.read(*input, point));
    arguments.push_back(loop.getRegionIterArg(0));
    scf::YieldOp::create(inside, loc, nest.compute(arguments, point));
  }
  Value result = loop.getResult(0);
  result =
      threads > kWarpLanes ? acrossBlock(kernel, *combiner, result, neutral) : acrossWarp(kernel, *combiner, result);
  Value first = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, lane, kernel.index(int64_t{0}));
  auto last = scf::IfOp::create(inside, loc, first);
  inside.setInsertionPointToStart(last.thenBlock());
  for (unsigned dim : nest.reductions)
    point[dim] = kernel.index(int64_t{0});
  nest.write(combiner->combine(inside, loc, nest.start(0, point), result), 0, point);
  kernel.launch(kernel.ceilDiv(count, perBlock), kBlockThreads);
  return true;
}
