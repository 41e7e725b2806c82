//===- EmitWarpgroupProducts.cpp - Products by wgmma and TMA ----------------===//
//
// In:  a product of f16 or bf16 factors that lie dense in memory, sums in f32; for sm_90a.
// Out: a kernel of blocks with three warpgroups. One thread of the last one has whole tiles of both factors copied into a
//      ring in shared memory (`cp.async.bulk.tensor`), as far ahead as the ring is long. The other two each multiply 64 rows
//      by all columns of the tile (`wgmma`), straight from shared memory.
//
// Two barriers per stage of the ring connect them (`mbarrier`): `full` completes when all bytes of the stage have arrived,
// `empty` when each warp that reads it is done. How often the ring went round is the parity that they wait for. Registers
// are moved from the copying warpgroup to the others (`setmaxnreg`).
//
// A tile lies in rows of 128 bytes, permuted by the copy (swizzle) as `wgmma` expects it: along the depth, or along rows or
// columns in blocks of 64. What lies beyond a factor arrives as zeros.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/ProductEmitter.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

constexpr int64_t kGroupThreads = 128, kConsumers = 2, kThreadsInAll = (kConsumers + 1) * kGroupThreads;
/// Rows that one instruction multiplies, and how deep; elements and bytes of a permuted row.
constexpr int64_t kGroupRows = 64, kDepthStep = 16, kSpan = 64, kSpanBytes = 128;
/// Registers per thread: of 65536, so that 168 at entry become these.
constexpr int64_t kCopyRegisters = 40, kSumRegisters = 232;
/// The barrier of the hardware that the multiplying warps meet at; 0 is that of all threads.
constexpr int64_t kSumBarrier = 1;

class WarpgroupProduct : public ProductEmitter {
public:
  WarpgroupProduct(Nest &nest, const Contraction &contraction, Nest *epilogue, unsigned epilogueInput,
                   const TensorTile &tile)
      : ProductEmitter(nest, contraction, epilogue, epilogueInput), tile(tile) {}

  /// Nothing is written where a factor is not a plain array that tensor maps can describe.
  bool emit();

private:
  /// One factor in memory and in a stage of the ring.
  struct Factor {
    bool isLhs;
    OpOperand *operand = nullptr;
    bool alongDepth = true;
    int64_t outerTile = 0, offset = 0;
    Value outerBase, map;

    /// Boxes that a tile consists of, and how far apart they are in bytes.
    int64_t boxes() const { return alongDepth ? 1 : outerTile / kSpan; }
  };

  bool describe(Factor &factor);
  void passMap(Factor &factor);
  void copy(const Factor &factor, Value stage, Value k, Value barrier);
  Value descriptor(const Factor &factor, Value start);
  SmallVector<Value> multiply(Value stage, ValueRange sums);
  void produce();
  void consume();
  /// Counts round the ring: calls `body` for each step along the depth, with its stage's start and the parity.
  scf::ForOp alongDepth(ValueRange carried,
                        llvm::function_ref<SmallVector<Value>(Value k, Value stage, Value parity, ValueRange)> body);

  void assembly(const Twine &text, StringRef constraints, ValueRange operands);
  void wait(Value barrier, Value parity);
  Value i32(int64_t value) { return arith::ConstantOp::create(inside, loc, inside.getI32IntegerAttr(value)); }
  Value plus(Value a, Value b) { return arith::AddIOp::create(inside, loc, a, b); }
  Value asI32(Value index) { return arith::IndexCastOp::create(inside, loc, inside.getI32Type(), index); }
  Value full(Value stage) { return plus(barriers, arith::MulIOp::create(inside, loc, stage, i32(8))); }
  Value empty(Value stage) { return plus(full(stage), i32(8 * tile.stages)); }
  Value startOf(Value stage) { return plus(ring, arith::MulIOp::create(inside, loc, stage, i32(stageBytes))); }

  TensorTile tile;
  Factor lhs{true}, rhs{false};
  int64_t stageBytes = 0;
  Value memory, ring, barriers; ///< `ring`, `barriers`: 32-bit addresses
};

/// Whether a factor is an array as it lies in memory, with one loop for each dimension.
bool WarpgroupProduct::describe(Factor &factor) {
  Value wanted = factor.isLhs ? contraction.lhs : contraction.rhs;
  ArrayRef<unsigned> outer = factor.isLhs ? contraction.rows : contraction.columns;
  auto widened = wanted.getDefiningOp<arith::ExtFOp>();
  auto argument = widened ? dyn_cast<BlockArgument>(widened.getIn()) : BlockArgument();
  if (!argument || argument.getOwner() != nest.op.getBlock() || outer.size() != 1 || contraction.inner.size() != 1)
    return false;
  OpOperand &operand = nest.op->getOpOperand(argument.getArgNumber());
  auto type = dyn_cast<MemRefType>(operand.get().getType());
  AffineMap map = nest.op.getMatchingIndexingMap(&operand);
  if (!nest.op.isDpsInput(&operand) || !type || !type.getLayout().isIdentity() || type.getRank() > 5 ||
      type.getRank() < 2 || !map.isProjectedPermutation(/*allowZeroInResults=*/true) || constantArray(operand.get()))
    return false;
  int64_t last = type.getShape().back();
  // Strides of tensor maps are multiples of 16 bytes.
  if (ShapedType::isDynamic(last) || last % 8 != 0 || last == 0)
    return false;
  AffineExpr inner = map.getResults().back();
  factor.alongDepth = inner == getAffineDimExpr(contraction.inner.front(), nest.op->getContext());
  factor.operand = &operand;
  factor.outerTile = factor.isLhs ? tile.rows : tile.columns;
  return factor.alongDepth || inner == getAffineDimExpr(outer.front(), nest.op->getContext());
}

/// The kernel's parameter that says how tiles are cut out of a factor.
void WarpgroupProduct::passMap(Factor &factor) {
  AffineMap map = nest.op.getMatchingIndexingMap(factor.operand);
  unsigned outer = (factor.isLhs ? contraction.rows : contraction.columns).front();
  SmallVector<int64_t> box;
  for (AffineExpr result : llvm::reverse(map.getResults())) {
    bool isDepth = result == getAffineDimExpr(contraction.inner.front(), nest.op->getContext());
    bool isOuter = result == getAffineDimExpr(outer, nest.op->getContext());
    box.push_back(isDepth ? tile.depth : isOuter ? (factor.alongDepth ? factor.outerTile : kSpan) : 1);
  }
  factor.map = kernel.tensorMap(factor.operand->get(), box, kSpanBytes);
}

void WarpgroupProduct::assembly(const Twine &text, StringRef constraints, ValueRange operands) {
  LLVM::InlineAsmOp::create(inside, loc, TypeRange{}, operands, text.str(), constraints, /*has_side_effects=*/true,
                            /*is_align_stack=*/false, LLVM::tailcallkind::TailCallKind::None,
                            LLVM::AsmDialectAttr::get(inside.getContext(), LLVM::AsmDialect::AD_ATT), ArrayAttr());
}

/// Until the barrier's phase of this parity is over. A label is known within its braces only, but the assembler wants it
/// unique in a function, too.
void WarpgroupProduct::wait(Value barrier, Value parity) {
  assembly("{\n.reg .pred done;\nWAIT_${:uid}:\nmbarrier.try_wait.parity.shared::cta.b64 done, [$0], $1;\n"
           "@!done bra WAIT_${:uid};\n}",
           "r,r,~{memory}", {barrier, parity});
}

scf::ForOp WarpgroupProduct::alongDepth(ValueRange carried,
                                        llvm::function_ref<SmallVector<Value>(Value, Value, Value, ValueRange)> body) {
  SmallVector<Value> start(carried);
  start.append({i32(0), i32(0)});
  auto loop = scf::ForOp::create(inside, loc, kernel.index(int64_t{0}), innerCount, kernel.index(tile.depth), start);
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(loop.getBody());
  auto values = loop.getRegionIterArgs();
  Value stage = values[carried.size()], parity = values[carried.size() + 1];
  SmallVector<Value> next = body(loop.getInductionVar(), stage, parity, values.take_front(carried.size()));
  Value after = plus(stage, i32(1));
  Value wraps = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, after, i32(tile.stages));
  next.push_back(arith::SelectOp::create(inside, loc, wraps, i32(0), after));
  Value flipped = arith::XOrIOp::create(inside, loc, parity, i32(1));
  next.push_back(arith::SelectOp::create(inside, loc, wraps, flipped, parity));
  scf::YieldOp::create(inside, loc, next);
  return loop;
}

/// Starts the copies of a tile, which report to a barrier.
void WarpgroupProduct::copy(const Factor &factor, Value stage, Value k, Value barrier) {
  AffineMap map = nest.op.getMatchingIndexingMap(factor.operand);
  unsigned outer = (factor.isLhs ? contraction.rows : contraction.columns).front();
  for (int64_t box = 0; box < factor.boxes(); ++box) {
    SmallVector<Value> here(point);
    here[outer] = add(factor.outerBase, box * kSpan);
    here[contraction.inner.front()] = k;
    SmallVector<Value> operands{plus(stage, i32(factor.offset + box * tile.depth * kSpanBytes)), factor.map, barrier};
    std::string places, constraints = "r,l,r";
    SmallVector<Value> subscripts = nest.subscripts(*factor.operand, here);
    for (auto [number, value] : llvm::enumerate(llvm::reverse(subscripts))) {
      operands.push_back(asI32(value));
      places += (number ? ", $" : "$") + std::to_string(number + 3);
      constraints += ",r";
    }
    assembly("cp.async.bulk.tensor." + Twine(map.getNumResults()) +
                 "d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [$0], [$1, {" + places + "}], [$2];",
             constraints + ",~{memory}", operands);
  }
}

/// The thread that copies: waits until a stage is empty, says how many bytes will come, has them brought.
void WarpgroupProduct::produce() {
  alongDepth({}, [&](Value k, Value stage, Value parity, ValueRange) -> SmallVector<Value> {
    // The first time round nobody has read anything: the phase before the first one counts as over.
    wait(empty(stage), arith::XOrIOp::create(inside, loc, parity, i32(1)));
    assembly("mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], " + Twine(stageBytes) + ";", "r,~{memory}",
             {full(stage)});
    copy(lhs, startOf(stage), k, full(stage));
    copy(rhs, startOf(stage), k, full(stage));
    return {};
  });
}

/// How `wgmma` finds a tile ("Matrix-Descriptor Format" of the PTX ISA): address, distance of blocks of 64 rows or columns,
/// distance of 8 permuted rows, in units of 16 bytes; 1 for rows of 128 bytes.
Value WarpgroupProduct::descriptor(const Factor &factor, Value start) {
  auto i64 = inside.getI64Type();
  int64_t leading = factor.alongDepth ? 1 : tile.depth * kSpanBytes / 16, eight = 8 * kSpanBytes / 16;
  Value address = arith::ShRUIOp::create(inside, loc, start, i32(4));
  Value fixed =
      arith::ConstantOp::create(inside, loc, inside.getI64IntegerAttr(int64_t{1} << 62 | eight << 32 | leading << 16));
  return arith::OrIOp::create(inside, loc, arith::ExtUIOp::create(inside, loc, i64, address), fixed);
}

/// All products of a stage in one piece of assembly: until the wait at its end the sums belong to the tensor cores, and
/// nothing may come between.
SmallVector<Value> WarpgroupProduct::multiply(Value stage, ValueRange sums) {
  int64_t count = sums.size();
  auto list = [&] {
    std::string text;
    for (int64_t i = 0; i < count; ++i)
      text += (i ? ", $" : "$") + std::to_string(i);
    return text;
  }();
  std::string type = contraction.narrow.isBF16() ? "bf16" : "f16";
  // Along the depth a step of 16 is 32 bytes of a row, else 16 rows.
  auto stepOf = [&](const Factor &factor) {
    return (factor.alongDepth ? kDepthStep * 2 : kDepthStep * kSpanBytes) / 16;
  };
  std::string left = "$" + std::to_string(2 * count), right = "$" + std::to_string(2 * count + 1);
  std::string text = "{\n.reg .b64 left, right;\n.reg .pred add;\nsetp.eq.u32 add, 0, 0;\n"
                     "wgmma.fence.sync.aligned;\n";
  for (int64_t step = 0; step < tile.depth / kDepthStep; ++step) {
    text += "add.u64 left, " + left + ", " + std::to_string(step * stepOf(lhs)) + ";\n";
    text += "add.u64 right, " + right + ", " + std::to_string(step * stepOf(rhs)) + ";\n";
    text += "wgmma.mma_async.sync.aligned.m64n" + std::to_string(tile.columns) + "k16.f32." + type + "." + type + " {" +
            list + "}, left, right, add, 1, 1, " + (lhs.alongDepth ? "0" : "1") + ", " + (rhs.alongDepth ? "0" : "1") +
            ";\n";
  }
  text += "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n}";
  std::string constraints;
  for (int64_t i = 0; i < count; ++i)
    constraints += "=f,";
  for (int64_t i = 0; i < count; ++i)
    constraints += std::to_string(i) + ",";
  constraints += "l,l,~{memory}";

  // This warpgroup's 64 rows of the left factor.
  Value start = startOf(stage), group = asI32(divide(warp, kGroupThreads / kWarpLanes));
  int64_t groupBytes = lhs.alongDepth ? kGroupRows * kSpanBytes : tile.depth * kSpanBytes;
  Value own = plus(start, arith::MulIOp::create(inside, loc, group, i32(groupBytes)));
  SmallVector<Value> operands(sums);
  operands.push_back(descriptor(lhs, plus(own, i32(lhs.offset))));
  operands.push_back(descriptor(rhs, plus(start, i32(rhs.offset))));
  SmallVector<Type> types(count, inside.getF32Type());
  auto all = LLVM::LLVMStructType::getLiteral(inside.getContext(), types);
  Value result =
      LLVM::InlineAsmOp::create(inside, loc, TypeRange{all}, operands, text, constraints, /*has_side_effects=*/true,
                                /*is_align_stack=*/false, LLVM::tailcallkind::TailCallKind::None,
                                LLVM::AsmDialectAttr::get(inside.getContext(), LLVM::AsmDialect::AD_ATT), ArrayAttr())
          ->getResult(0);
  SmallVector<Value> next;
  for (int64_t i = 0; i < count; ++i)
    next.push_back(LLVM::ExtractValueOp::create(inside, loc, inside.getF32Type(), result, ArrayRef<int64_t>{i}));
  return next;
}

/// The warpgroups that multiply: wait until a stage is full, and say when they have read it.
void WarpgroupProduct::consume() {
  Value zero = arith::ConstantOp::create(inside, loc, inside.getF32FloatAttr(0));
  SmallVector<Value> start(tile.columns / 2, zero);
  Value first = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, lane, kernel.index(int64_t{0}));
  auto loop = alongDepth(start, [&](Value, Value stage, Value parity, ValueRange sums) {
    wait(full(stage), parity);
    SmallVector<Value> next = multiply(stage, sums);
    auto one = scf::IfOp::create(inside, loc, first);
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(one.thenBlock());
    assembly("mbarrier.arrive.shared::cta.b64 _, [$0];", "r,~{memory}", {empty(stage)});
    return next;
  });
  // The ring becomes memory for sums once everybody has read it.
  assembly("bar.sync " + Twine(kSumBarrier) + ", " + Twine(kConsumers * kGroupThreads) + ";", "~{memory}", {});
  SmallVector<Value> sums(loop.getResults().take_front(start.size()));
  writeSums(sums, memory, tile.columns, add(rowBase, times(warp, 16)), columnBase);
}

bool WarpgroupProduct::emit() {
  if (!describe(lhs) || !describe(rhs))
    return false;
  place(tile.rows, tile.columns);
  lhs.outerBase = rowBase;
  rhs.outerBase = columnBase;
  rhs.offset = tile.rows * tile.depth * 2;
  stageBytes = (tile.rows + tile.columns) * tile.depth * 2;
  passMap(lhs);
  passMap(rhs);
  int64_t ringBytes = tile.stages * stageBytes, warps = kConsumers * kGroupThreads / kWarpLanes;
  memory = kernel.dynamicShared(ringBytes + 16 * tile.stages);
  ring = LLVM::PtrToIntOp::create(inside, loc, inside.getI32Type(), memory);
  barriers = plus(ring, i32(ringBytes));

  Value thread = kernel.threadId();
  Value isFirst = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, thread, kernel.index(int64_t{0}));
  auto prepare = scf::IfOp::create(inside, loc, isFirst);
  {
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(prepare.thenBlock());
    for (int64_t stage = 0; stage < tile.stages; ++stage) {
      assembly("mbarrier.init.shared::cta.b64 [$0], 1;", "r,~{memory}", {full(i32(stage))});
      assembly("mbarrier.init.shared::cta.b64 [$0], " + Twine(warps) + ";", "r,~{memory}", {empty(i32(stage))});
    }
    assembly("fence.mbarrier_init.release.cluster;", "~{memory}", {});
  }
  kernel.barrier();
  auto roles = scf::IfOp::create(inside, loc, below(thread, kernel.index(kConsumers * kGroupThreads)), true);
  {
    OpBuilder::InsertionGuard guard(inside);
    inside.setInsertionPointToStart(roles.thenBlock());
    assembly("setmaxnreg.inc.sync.aligned.u32 " + Twine(kSumRegisters) + ";", "~{memory}", {});
    consume();
    inside.setInsertionPointToStart(roles.elseBlock());
    assembly("setmaxnreg.dec.sync.aligned.u32 " + Twine(kCopyRegisters) + ";", "~{memory}", {});
    Value isWarp = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, warp, kernel.index(warps));
    auto oneWarp = scf::IfOp::create(inside, loc, isWarp);
    inside.setInsertionPointToStart(oneWarp.thenBlock());
    Value elected = NVVM::ElectSyncOp::create(inside, loc, inside.getI1Type(), Value());
    auto one = scf::IfOp::create(inside, loc, elected);
    inside.setInsertionPointToStart(one.thenBlock());
    produce();
  }
  kernel.launch(blocks, kThreadsInAll);
  return true;
}

} // namespace

bool cuda::emitWarpgroupProduct(Nest &nest, const Contraction &contraction, Nest *epilogue, unsigned epilogueInput,
                                const TensorTile &tile) {
  return WarpgroupProduct(nest, contraction, epilogue, epilogueInput, tile).emit();
}
