//===- Combine.cpp - Partial results of several threads become one ----------===//
//
// By shuffles inside a warp, through shared memory between warps. Who adds to whom depends on the kernel alone: every run
// gives the same bits, and no atomic operation is needed.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/Combine.h"

#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

static constexpr int64_t kLanes = 32;

Value Combiner::combine(OpBuilder &builder, Location loc, Value a, Value b) const {
  IRMapping map;
  map.map(op->getOperand(0), a);
  map.map(op->getOperand(1), b);
  Operation *copy = builder.clone(*op, map);
  copy->setLoc(loc);
  return copy->getResult(0);
}

std::optional<Combiner> cuda::combinerOf(linalg::LinalgOp op) {
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

Value cuda::exchange(DeviceKernel &kernel, Value value, int64_t mask) {
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

Value cuda::acrossLanes(DeviceKernel &kernel, const Combiner &combiner, Value value, int64_t lanes) {
  for (int64_t mask = lanes / 2; mask > 0; mask /= 2)
    value = combiner.combine(kernel.inside, kernel.loc, value, exchange(kernel, value, mask));
  return value;
}

std::pair<Value, Value> cuda::acrossLanesEach(DeviceKernel &kernel, llvm::function_ref<Value(Value, Value)> combine,
                                              ValueRange values) {
  OpBuilder &inside = kernel.inside;
  Location loc = kernel.loc;
  SmallVector<Value> left(values);
  left.resize(llvm::PowerOf2Ceil(left.size()), left.front());
  Value lane = arith::RemUIOp::create(inside, loc, kernel.threadId(), kernel.index(kLanes));
  Value number = arith::DivUIOp::create(inside, loc, lane, kernel.index(kLanes / left.size()));
  int64_t mask = kLanes / 2;
  // Half of the lanes go on with one half of the values, half with the other: each gives away what it does not keep.
  for (; left.size() > 1; mask /= 2) {
    Value bit = arith::AndIOp::create(inside, loc, lane, kernel.index(mask));
    Value isUpper = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::ne, bit, kernel.index(int64_t{0}));
    unsigned half = left.size() / 2;
    for (unsigned i = 0; i < half; ++i) {
      Value kept = arith::SelectOp::create(inside, loc, isUpper, left[i + half], left[i]);
      Value given = arith::SelectOp::create(inside, loc, isUpper, left[i], left[i + half]);
      left[i] = combine(kept, exchange(kernel, given, mask));
    }
    left.resize(half);
  }
  for (; mask > 0; mask /= 2)
    left.front() = combine(left.front(), exchange(kernel, left.front(), mask));
  return {left.front(), number};
}

Value cuda::acrossBlock(DeviceKernel &kernel, const Combiner &combiner, Value value, int64_t threads) {
  OpBuilder &inside = kernel.inside;
  Location loc = kernel.loc;
  int64_t warps = threads / kLanes;
  value = acrossLanes(kernel, combiner, value, kLanes);
  if (warps == 1)
    return value;
  Type stored = value.getType();
  // A bool has no place of its own in memory.
  if (stored.isInteger(1))
    stored = inside.getI8Type();
  // Memory of its own for each combination: the one before may still be read.
  Value memory = kernel.shared(stored, warps);
  Value warp = arith::DivUIOp::create(inside, loc, kernel.threadId(), kernel.index(kLanes));
  Value lane = arith::RemUIOp::create(inside, loc, kernel.threadId(), kernel.index(kLanes));
  Value first = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, lane, kernel.index(int64_t{0}));
  auto guarded = scf::IfOp::create(inside, loc, first);
  {
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(guarded.thenBlock());
    Value kept = stored == value.getType() ? value : arith::ExtUIOp::create(inside, loc, stored, value).getResult();
    LLVM::StoreOp::create(inside, loc, kept, kernel.sharedAddress(memory, stored, warp));
  }
  kernel.barrier();
  // Every warp combines the same values in the same order: no second barrier is needed to hand the result around.
  Value place = arith::RemUIOp::create(inside, loc, lane, kernel.index(warps));
  Value loaded = LLVM::LoadOp::create(inside, loc, stored, kernel.sharedAddress(memory, stored, place));
  if (stored != value.getType())
    loaded = arith::TruncIOp::create(inside, loc, value.getType(), loaded);
  return acrossLanes(kernel, combiner, loaded, warps);
}
