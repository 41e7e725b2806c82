//===- EmitProducts.cpp - A block of threads per tile of a product ----------===//
//
// A block copies tiles of both factors into shared memory, where every element is read many times; what prologues compute
// (dequantisation, casts) is computed once per tile on the way. Each thread keeps its part of the result in registers, and
// applies the epilogue to it there. Tiles that reach beyond the arrays are filled with zeros, results beyond are dropped.
//
// Here: fused multiply-adds, for any type. Tensor cores: EmitTensorProducts.cpp.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/ProductEmitter.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

/// Sizes of one kernel.
struct Shape {
  int64_t rows, columns, depth, threads;
  int64_t pitch; ///< elements from one row of a tile in shared memory to the next
};

constexpr Shape kPlain{64, 64, 16, 256, 64 + 4};

class PlainProduct : public ProductEmitter {
public:
  using ProductEmitter::ProductEmitter;
  void emit();

private:
  void fill(Value memory, bool isLhs, Value outerBase, Value outerSize, Value kBase, bool outerFastest);
  SmallVector<Value> zeros(unsigned count);
  SmallVector<Value> steps(unsigned sums, llvm::function_ref<SmallVector<Value>(Value, ValueRange)> body);

  Shape shape = kPlain;
  Type factorType = contraction.multiply->getResult(0).getType(), sumType = contraction.sum->getResult(0).getType();
  Value lhsMemory, rhsMemory;
};

/// Copies a tile of one factor: all threads, in turns. `outerFastest` says which way neighbouring threads read.
void PlainProduct::fill(Value memory, bool isLhs, Value outerBase, Value outerSize, Value kBase, bool outerFastest) {
  Value wanted = isLhs ? contraction.lhs : contraction.rhs;
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
  Value position = add(times(depthHere, shape.pitch), outerHere);
  LLVM::StoreOp::create(inside, loc, value.getResult(0), kernel.sharedAddress(memory, factorType, position));
}

SmallVector<Value> PlainProduct::zeros(unsigned count) {
  Value zero = arith::ConstantOp::create(inside, loc, inside.getZeroAttr(sumType));
  return SmallVector<Value>(count, zero);
}

/// The loop over the depth: copy, wait, multiply, wait.
SmallVector<Value> PlainProduct::steps(unsigned sums, llvm::function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  auto loop =
      scf::ForOp::create(inside, loc, kernel.index(int64_t{0}), innerCount, kernel.index(shape.depth), zeros(sums));
  OpBuilder::InsertionGuard guard(inside);
  inside.setInsertionPointToStart(loop.getBody());
  SmallVector<Value> next = body(loop.getInductionVar(), loop.getRegionIterArgs());
  scf::YieldOp::create(inside, loc, next);
  return llvm::to_vector_of<Value>(loop.getResults());
}

/// Threads form a square of 16 by 16; each has 4 rows and 4 columns of the tile, 16 apart.
void PlainProduct::emit() {
  constexpr int64_t side = 16, each = 4;
  place(shape.rows, shape.columns);
  lhsMemory = kernel.shared(factorType, shape.depth * shape.pitch);
  rhsMemory = kernel.shared(factorType, shape.depth * shape.pitch);
  Value x = arith::RemUIOp::create(inside, loc, kernel.threadId(), kernel.index(side));
  Value y = arith::DivUIOp::create(inside, loc, kernel.threadId(), kernel.index(side));
  bool rowsFastest = !runsAlong(contraction.lhs, contraction.inner);
  bool columnsFastest = runsAlong(contraction.rhs, contraction.columns);
  SmallVector<Value> sums = steps(each * each, [&](Value k, ValueRange carried) {
    fill(lhsMemory, true, rowBase, rowCount, k, rowsFastest);
    fill(rhsMemory, false, columnBase, columnCount, k, columnsFastest);
    kernel.barrier();
    auto inner =
        scf::ForOp::create(inside, loc, kernel.index(int64_t{0}), kernel.index(shape.depth), kernel.index(1), carried);
    {
      OpBuilder::InsertionGuard guard(inside);
      inside.setInsertionPointToStart(inner.getBody());
      Value row = times(inner.getInductionVar(), shape.pitch);
      auto take = [&](Value memory, Value lane, int64_t i) -> Value {
        Value position = add(add(row, lane), i * side);
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
    finish(sums[i], add(add(rowBase, y), i / each * side), add(add(columnBase, x), i % each * side));
  kernel.launch(blocks, shape.threads);
}

} // namespace

bool cuda::emitProduct(Nest &nest, Nest *epilogue, unsigned epilogueInput, StringRef lowering) {
  std::optional<Contraction> contraction = contractionOf(nest.op);
  if (!contraction)
    return false;
  TensorTile tile = tensorTileOf(nest.op);
  bool isWarpgroup = lowering == kWgmma;
  if (isWarpgroup && contraction->narrow && emitWarpgroupProduct(nest, *contraction, epilogue, epilogueInput))
    return true;
  // Its tiles are too large for anything else.
  if (isWarpgroup)
    tile = {};
  if ((isWarpgroup || lowering == kMma) && contraction->narrow)
    emitTensorProduct(nest, *contraction, epilogue, epilogueInput, tile);
  else
    PlainProduct(nest, *contraction, epilogue, epilogueInput).emit();
  return true;
}
