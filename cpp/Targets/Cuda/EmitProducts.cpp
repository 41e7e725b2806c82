//===- EmitProducts.cpp - A block of threads per tile of a product ----------===//
//
// A block copies tiles of both factors into shared memory, where every element is read many times; what prologues compute
// (dequantisation, casts) is computed once per tile on the way. Each thread keeps its part of the result in registers, and
// applies the epilogue to it there. Tiles that reach beyond the arrays are filled with zeros, results beyond are dropped.
//
// Two ways to multiply: `mma.sync` on tensor cores for f16 and bf16 factors (sums in f32), fused multiply-add for the rest.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/Contraction.h"
#include "Targets/Cuda/Nest.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

constexpr int64_t kWarpSize = 32;

/// Sizes of one kernel.
struct Shape {
  int64_t rows, columns, depth, threads;
  int64_t pitch; ///< elements from one row of a tile in shared memory to the next
};

constexpr Shape kPlain{64, 64, 16, 256, 64 + 4};
constexpr Shape kTensor{64, 64, 32, 128, 32 + 8};

/// Everything that the parts of one kernel share.
class ProductEmitter {
public:
  ProductEmitter(Nest &nest, const Contraction &contraction, Nest *epilogue, unsigned epilogueInput, const Shape &shape)
      : nest(nest), kernel(nest.kernel), inside(kernel.inside), loc(kernel.loc), contraction(contraction),
        epilogue(epilogue), epilogueInput(epilogueInput), shape(shape) {}

  void emit(bool tensorCores);

private:
  using Body = llvm::function_ref<void()>;
  using Factor = llvm::function_ref<Value(Value)>;

  Value add(Value a, Value b) { return arith::AddIOp::create(inside, loc, a, b); }
  Value times(Value a, int64_t b) { return arith::MulIOp::create(inside, loc, a, kernel.index(b)); }
  Value below(Value a, Value b) { return arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::ult, a, b); }
  Value both(Value a, Value b) { return arith::AndIOp::create(inside, loc, a, b); }

  void place();
  Value factor(Value wanted, bool isLhs, Value outer, Value k);
  void fill(Value memory, bool isLhs, Value outerBase, Value outerSize, Value kBase, bool outerFastest,
            bool depthMajor);
  bool runsAlong(Value wanted, ArrayRef<unsigned> loops);
  void finish(Value sum, Value row, Value column);
  SmallVector<Value> zeros(unsigned count);

  void plain();
  void tensor();
  SmallVector<Value> steps(unsigned sums, llvm::function_ref<SmallVector<Value>(Value, ValueRange)> body);

  Nest &nest;
  DeviceKernel &kernel;
  OpBuilder &inside;
  Location loc;
  const Contraction &contraction;
  Nest *epilogue;
  unsigned epilogueInput;
  Shape shape;

  Type factorType, sumType;
  SmallVector<OpFoldResult> batchRanges, rowRanges, columnRanges, innerRanges;
  Value rowCount, columnCount, innerCount; ///< inside
  Value rowBase, columnBase;
  SmallVector<Value> point;
  OpFoldResult blocks;
  Value lhsMemory, rhsMemory;
};

/// Decides which tile a block computes: columns fastest, so that blocks that run together share rows.
void ProductEmitter::place() {
  batchRanges = nest.rangesOf(contraction.batch);
  rowRanges = nest.rangesOf(contraction.rows);
  columnRanges = nest.rangesOf(contraction.columns);
  innerRanges = nest.rangesOf(contraction.inner);
  OpFoldResult rows = kernel.product(rowRanges), columns = kernel.product(columnRanges);
  OpFoldResult rowTiles = kernel.ceilDiv(rows, shape.rows), columnTiles = kernel.ceilDiv(columns, shape.columns);
  blocks = kernel.product({kernel.product(batchRanges), rowTiles, columnTiles});
  rowCount = kernel.index(rows);
  columnCount = kernel.index(columns);
  innerCount = kernel.index(kernel.product(innerRanges));
  // The first part is the batch: its size is not needed to take the number apart.
  SmallVector<Value> parts = kernel.delinearise(kernel.blockId(), {kernel.product(batchRanges), rowTiles, columnTiles});
  rowBase = times(parts[1], shape.rows);
  columnBase = times(parts[2], shape.columns);
  point.resize(nest.op.getNumLoops());
  for (auto [loop, value] : llvm::zip_equal(contraction.batch, kernel.delinearise(parts[0], batchRanges)))
    point[loop] = value;
}

/// One element of a factor at row (or column) `outer` and depth `k`.
Value ProductEmitter::factor(Value wanted, bool isLhs, Value outer, Value k) {
  SmallVector<Value> here(point);
  ArrayRef<unsigned> loops = isLhs ? contraction.rows : contraction.columns;
  for (auto [loop, value] : llvm::zip_equal(loops, kernel.delinearise(outer, isLhs ? rowRanges : columnRanges)))
    here[loop] = value;
  for (auto [loop, value] : llvm::zip_equal(contraction.inner, kernel.delinearise(k, innerRanges)))
    here[loop] = value;
  // Only the arguments that this factor is made of are read.
  SmallVector<Value> arguments(nest.op.getBlock()->getNumArguments());
  llvm::SmallPtrSet<Value, 8> needed;
  SmallVector<Value> worklist{wanted};
  while (!worklist.empty()) {
    Value value = worklist.pop_back_val();
    if (!needed.insert(value).second)
      continue;
    if (Operation *def = value.getDefiningOp(); def && def->getBlock() == nest.op.getBlock())
      def->walk([&](Operation *each) { llvm::append_range(worklist, each->getOperands()); });
  }
  for (OpOperand *input : nest.op.getDpsInputOperands())
    if (BlockArgument argument = nest.op.getMatchingBlockArgument(input); needed.contains(argument))
      arguments[argument.getArgNumber()] = nest.read(*input, here);
  return nest.computePart(wanted, arguments, here);
}

/// Whether neighbours along the last of these loops are neighbours in memory, for the inputs of a factor that vary so.
bool ProductEmitter::runsAlong(Value wanted, ArrayRef<unsigned> loops) {
  llvm::SetVector<Value> seen;
  SmallVector<Value> worklist{wanted};
  bool along = false;
  while (!worklist.empty()) {
    Value value = worklist.pop_back_val();
    if (!seen.insert(value))
      continue;
    if (auto argument = dyn_cast<BlockArgument>(value); argument && argument.getOwner() == nest.op.getBlock()) {
      AffineMap map = nest.op.getMatchingIndexingMap(&nest.op->getOpOperand(argument.getArgNumber()));
      along |= map.getNumResults() && map.getResults().back() == inside.getAffineDimExpr(loops.back());
    } else if (Operation *def = value.getDefiningOp(); def && def->getBlock() == nest.op.getBlock()) {
      llvm::append_range(worklist, def->getOperands());
    }
  }
  return along;
}

/// Copies a tile of one factor: all threads, in turns. `outerFastest` says which way neighbouring threads read,
/// `depthMajor` how the tile lies in shared memory.
void ProductEmitter::fill(Value memory, bool isLhs, Value outerBase, Value outerSize, Value kBase, bool outerFastest,
                          bool depthMajor) {
  Value wanted = isLhs ? contraction.lhs : contraction.rhs;
  if (contraction.narrow && factorType == contraction.narrow)
    wanted = wanted.getDefiningOp<arith::ExtFOp>().getIn();
  int64_t outerTile = isLhs ? shape.rows : shape.columns;
  auto turn = scf::ForOp::create(inside, loc, kernel.threadId(), kernel.index(outerTile * shape.depth),
                                 kernel.index(shape.threads));
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(turn.getBody());
  Value fastest = kernel.index(outerFastest ? outerTile : shape.depth);
  Value low = arith::RemUIOp::create(inside, loc, turn.getInductionVar(), fastest);
  Value high = arith::DivUIOp::create(inside, loc, turn.getInductionVar(), fastest);
  Value outerHere = outerFastest ? low : high, depthHere = outerFastest ? high : low;
  Value outer = add(outerBase, outerHere), k = add(kBase, depthHere);
  auto value = scf::IfOp::create(inside, loc, TypeRange{factorType},
                                 both(below(outer, outerSize), below(k, innerCount)), /*withElse=*/true);
  {
    OpBuilder::InsertionGuard inner(inside);
    inside.setInsertionPointToStart(value.thenBlock());
    scf::YieldOp::create(inside, loc, factor(wanted, isLhs, outer, k));
    inside.setInsertionPointToStart(value.elseBlock());
    Value zero = arith::ConstantOp::create(inside, loc, inside.getZeroAttr(factorType));
    scf::YieldOp::create(inside, loc, zero);
  }
  Value position =
      depthMajor ? add(times(depthHere, shape.pitch), outerHere) : add(times(outerHere, shape.pitch), depthHere);
  LLVM::StoreOp::create(inside, loc, value.getResult(0), kernel.sharedAddress(memory, factorType, position));
}

/// Writes one result: through the epilogue, where there is one.
void ProductEmitter::finish(Value sum, Value row, Value column) {
  Value within = both(below(row, rowCount), below(column, columnCount));
  auto guarded = scf::IfOp::create(inside, loc, within);
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(guarded.thenBlock());
  SmallVector<Value> here(point);
  for (auto [loop, value] : llvm::zip_equal(contraction.rows, kernel.delinearise(row, rowRanges)))
    here[loop] = value;
  for (auto [loop, value] : llvm::zip_equal(contraction.columns, kernel.delinearise(column, columnRanges)))
    here[loop] = value;
  for (unsigned loop : contraction.inner)
    here[loop] = kernel.index(int64_t{0});
  IRMapping map;
  map.map(contraction.sum->getOperand(0), nest.start(0, here));
  map.map(contraction.sum->getOperand(1), sum);
  Value result = inside.clone(*contraction.sum, map)->getResult(0);
  if (!epilogue)
    return nest.write(result, 0, here);
  SmallVector<Value> there =
      epiloguePoint(*epilogue, epilogueInput, nest.subscripts(*nest.op.getDpsInitOperand(0), here));
  SmallVector<Value> arguments;
  linalg::LinalgOp op = epilogue->op;
  for (OpOperand *input : op.getDpsInputOperands())
    arguments.push_back(input->getOperandNumber() == epilogueInput ? result : epilogue->read(*input, there));
  for (unsigned init = 0; init < op.getNumDpsInits(); ++init)
    arguments.push_back(epilogue->usesDestination(init) ? epilogue->start(init, there) : Value());
  for (auto [init, value] : llvm::enumerate(epilogue->compute(arguments, there)))
    epilogue->write(value, init, there);
}

SmallVector<Value> ProductEmitter::zeros(unsigned count) {
  Value zero = arith::ConstantOp::create(inside, loc, inside.getZeroAttr(sumType));
  return SmallVector<Value>(count, zero);
}

/// The loop over the depth: copy, wait, multiply, wait.
SmallVector<Value> ProductEmitter::steps(unsigned sums,
                                         llvm::function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  auto loop =
      scf::ForOp::create(inside, loc, kernel.index(int64_t{0}), innerCount, kernel.index(shape.depth), zeros(sums));
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(loop.getBody());
  SmallVector<Value> next = body(loop.getInductionVar(), loop.getRegionIterArgs());
  scf::YieldOp::create(inside, loc, next);
  return llvm::to_vector_of<Value>(loop.getResults());
}

/// Threads form a square of 16 by 16; each has 4 rows and 4 columns of the tile, 16 apart.
void ProductEmitter::plain() {
  constexpr int64_t side = 16, each = 4;
  lhsMemory = kernel.shared(factorType, shape.depth * shape.pitch);
  rhsMemory = kernel.shared(factorType, shape.depth * shape.pitch);
  Value x = arith::RemUIOp::create(inside, loc, kernel.threadId(), kernel.index(side));
  Value y = arith::DivUIOp::create(inside, loc, kernel.threadId(), kernel.index(side));
  bool rowsFastest = !runsAlong(contraction.lhs, contraction.inner);
  bool columnsFastest = runsAlong(contraction.rhs, contraction.columns);
  SmallVector<Value> sums = steps(each * each, [&](Value k, ValueRange carried) {
    fill(lhsMemory, true, rowBase, rowCount, k, rowsFastest, /*depthMajor=*/true);
    fill(rhsMemory, false, columnBase, columnCount, k, columnsFastest, /*depthMajor=*/true);
    kernel.barrier();
    auto inner =
        scf::ForOp::create(inside, loc, kernel.index(int64_t{0}), kernel.index(shape.depth), kernel.index(1), carried);
    {
      OpBuilder::InsertionGuard guard(inside);
      inside.setInsertionPointToStart(inner.getBody());
      Value row = times(inner.getInductionVar(), shape.pitch);
      auto take = [&](Value memory, Value lane, int64_t i) -> Value {
        Value position = add(add(row, lane), kernel.index(i * side));
        return LLVM::LoadOp::create(inside, loc, factorType, kernel.sharedAddress(memory, factorType, position));
      };
      SmallVector<Value> left, right, next;
      for (int64_t i = 0; i < each; ++i) {
        left.push_back(take(lhsMemory, y, i));
        right.push_back(take(rhsMemory, x, i));
      }
      for (int64_t i = 0; i < each * each; ++i) {
        IRMapping map;
        bool swapped = contraction.multiply->getOperand(0) != contraction.lhs;
        map.map(contraction.multiply->getOperand(swapped ? 1 : 0), left[i / each]);
        map.map(contraction.multiply->getOperand(swapped ? 0 : 1), right[i % each]);
        Value product = inside.clone(*contraction.multiply, map)->getResult(0);
        Value sum = inner.getRegionIterArg(i);
        BlockArgument accumulator = nest.op.getRegionOutputArgs().front();
        bool first = contraction.sum->getOperand(0) == accumulator;
        IRMapping added;
        added.map(contraction.sum->getOperand(0), first ? sum : product);
        added.map(contraction.sum->getOperand(1), first ? product : sum);
        next.push_back(inside.clone(*contraction.sum, added)->getResult(0));
      }
      scf::YieldOp::create(inside, loc, next);
    }
    kernel.barrier();
    return llvm::to_vector_of<Value>(inner.getResults());
  });
  for (int64_t i = 0; i < each * each; ++i)
    finish(sums[i], add(add(rowBase, y), kernel.index(i / each * side)),
           add(add(columnBase, x), kernel.index(i % each * side)));
}

/// Four warps, two by two; each multiplies 32 rows with 32 columns by mma.sync m16n8k16. Fragments are those of the PTX
/// ISA ("Matrix Fragments for mma.m16n8k16"): a lane is number `quad` of group `row`.
void ProductEmitter::tensor() {
  constexpr int64_t side = 32, m = 16, n = 8, k = 16;
  constexpr int64_t rowTiles = side / m, columnTiles = side / n;
  lhsMemory = kernel.shared(factorType, shape.rows * shape.pitch);
  rhsMemory = kernel.shared(factorType, shape.columns * shape.pitch);
  auto divide = [&](Value a, int64_t b) -> Value { return arith::DivUIOp::create(inside, loc, a, kernel.index(b)); };
  auto rest = [&](Value a, int64_t b) -> Value { return arith::RemUIOp::create(inside, loc, a, kernel.index(b)); };
  Value warp = divide(kernel.threadId(), kWarpSize), lane = rest(kernel.threadId(), kWarpSize);
  Value warpRow = times(divide(warp, shape.columns / side), side);
  Value warpColumn = times(rest(warp, shape.columns / side), side);
  Value row = divide(lane, 4), pair = times(rest(lane, 4), 2);
  // Two neighbouring elements are one operand of the instruction.
  Type word = contraction.narrow.isBF16() ? Type(inside.getI32Type()) : Type(VectorType::get({2}, factorType));
  auto take = [&](Value memory, Value outer, Value depth) -> Value {
    Value position = add(times(outer, shape.pitch), depth);
    return LLVM::LoadOp::create(inside, loc, word, kernel.sharedAddress(memory, factorType, position), 4);
  };
  bool rowsFastest = !runsAlong(contraction.lhs, contraction.inner);
  bool columnsFastest = !runsAlong(contraction.rhs, contraction.inner);
  auto f32 = inside.getF32Type();
  auto four = LLVM::LLVMStructType::getLiteral(inside.getContext(), {f32, f32, f32, f32});
  auto type = contraction.narrow.isBF16() ? NVVM::MMATypes::bf16 : NVVM::MMATypes::f16;
  SmallVector<Value> sums = steps(rowTiles * columnTiles * 4, [&](Value depth, ValueRange carried) {
    SmallVector<Value> next(carried);
    fill(lhsMemory, true, rowBase, rowCount, depth, rowsFastest, /*depthMajor=*/false);
    fill(rhsMemory, false, columnBase, columnCount, depth, columnsFastest, /*depthMajor=*/false);
    kernel.barrier();
    for (int64_t step = 0; step < shape.depth; step += k) {
      Value low = add(pair, kernel.index(step)), high = add(pair, kernel.index(step + k / 2));
      SmallVector<SmallVector<Value>> left, right;
      for (int64_t i = 0; i < rowTiles; ++i) {
        Value top = add(add(warpRow, row), kernel.index(i * m)), bottom = add(top, kernel.index(m / 2));
        left.push_back({take(lhsMemory, top, low), take(lhsMemory, bottom, low), take(lhsMemory, top, high),
                        take(lhsMemory, bottom, high)});
      }
      for (int64_t j = 0; j < columnTiles; ++j) {
        Value column = add(add(warpColumn, row), kernel.index(j * n));
        right.push_back({take(rhsMemory, column, low), take(rhsMemory, column, high)});
      }
      for (int64_t i = 0; i < rowTiles; ++i)
        for (int64_t j = 0; j < columnTiles; ++j) {
          auto sum = MutableArrayRef<Value>(next).slice((i * columnTiles + j) * 4, 4);
          auto result = NVVM::MmaOp::create(inside, loc, four, left[i], right[j], sum, ArrayRef<int64_t>{m, n, k},
                                            std::nullopt, std::nullopt, std::array<NVVM::MMATypes, 2>{type, type},
                                            std::array<NVVM::MMALayout, 2>{NVVM::MMALayout::row, NVVM::MMALayout::col});
          for (int64_t part = 0; part < 4; ++part)
            sum[part] = LLVM::ExtractValueOp::create(inside, loc, f32, result.getRes(), ArrayRef<int64_t>{part});
        }
    }
    kernel.barrier();
    return next;
  });
  for (int64_t i = 0; i < rowTiles; ++i)
    for (int64_t j = 0; j < columnTiles; ++j)
      for (int64_t part = 0; part < 4; ++part) {
        Value outRow = add(add(add(rowBase, warpRow), row), kernel.index(i * m + part / 2 * (m / 2)));
        Value outColumn = add(add(add(columnBase, warpColumn), pair), kernel.index(j * n + part % 2));
        finish(sums[(i * columnTiles + j) * 4 + part], outRow, outColumn);
      }
}

void ProductEmitter::emit(bool tensorCores) {
  sumType = contraction.sum->getResult(0).getType();
  factorType = tensorCores ? contraction.narrow : contraction.multiply->getResult(0).getType();
  place();
  if (tensorCores)
    tensor();
  else
    plain();
  kernel.launch(blocks, shape.threads);
}

} // namespace

SmallVector<Value> cuda::epiloguePoint(Nest &epilogue, unsigned input, ValueRange subscripts) {
  AffineMap map = epilogue.op.getMatchingIndexingMap(&epilogue.op->getOpOperand(input));
  SmallVector<Value> there(epilogue.op.getNumLoops());
  for (auto [result, value] : llvm::zip_equal(map.getResults(), subscripts))
    there[cast<AffineDimExpr>(result).getPosition()] = value;
  return there;
}

bool cuda::emitProduct(Nest &nest, Nest *epilogue, unsigned epilogueInput, bool tensorCores) {
  std::optional<Contraction> contraction = contractionOf(nest.op);
  if (!contraction)
    return false;
  tensorCores &= bool(contraction->narrow);
  Type sum = contraction->sum->getResult(0).getType();
  // Tiles of wide numbers fill the same memory with half as many elements.
  if (!tensorCores && sum.getIntOrFloatBitWidth() < 8)
    return false;
  ProductEmitter(nest, *contraction, epilogue, epilogueInput, tensorCores ? kTensor : kPlain).emit(tensorCores);
  return true;
}
