//===- AttentionEmitter.cpp - What all kernels of attention share -----------===//
#include "Targets/Cuda/AttentionEmitter.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"

#include <cmath>

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

void AttentionEmitter::begin(int64_t rows, OpFoldResult parts) {
  auto sizeAlong = [](OpOperand &operand) { return cast<MemRefType>(operand.get().getType()).getShape().back(); };
  depth = sizeAlong(operandOf(scores.op, attention.scores.rhs));
  columns = sizeAlong(operandOf(nest.op, contraction.rhs));
  for (const Attention::Formula &formula : attention.formulas)
    formulas.push_back(std::make_unique<Nest>(kernel, formula.op));
  blockRows = rows;
  measure(rows, columns);
  Value number = kernel.blockId();
  if (parts) {
    Value tiles = kernel.index(blocks);
    part = arith::DivUIOp::create(inside, loc, number, tiles);
    number = arith::RemUIOp::create(inside, loc, number, tiles);
    blocks = kernel.product({blocks, parts});
  }
  locate(number);
  keyCount = innerCount;
}

OpOperand &AttentionEmitter::operandOf(linalg::LinalgOp op, Value factor) {
  return op->getOpOperand(cast<BlockArgument>(unwidened(factor)).getArgNumber());
}

Value AttentionEmitter::finite(Value highest) {
  Value isNone = arith::CmpFOp::create(inside, loc, arith::CmpFPredicate::OEQ, highest, constant(-INFINITY));
  return arith::SelectOp::create(inside, loc, isNone, constant(0), highest);
}

Value AttentionEmitter::power(Value value, Value highest) {
  Value difference = arith::SubFOp::create(inside, loc, value, highest);
  return math::Exp2Op::create(inside, loc, multiplied(difference, constant(1.4426950408889634)));
}

void AttentionEmitter::writeResult(ArrayRef<Value> values, Value total, Value row, Value column) {
  // Without keys results are sums of nothing; where all keys are hidden, they are no numbers.
  Value isEmpty = arith::CmpIOp::create(inside, loc, arith::CmpIPredicate::eq, keyCount, kernel.index(int64_t{0}));
  Value quotient = arith::DivFOp::create(inside, loc, constant(1), total);
  Value inverse = arith::SelectOp::create(inside, loc, isEmpty, constant(0), quotient);
  finish(llvm::map_to_vector(values, [&](Value value) { return multiplied(value, inverse); }), row, column);
}

/// The loops of the first product.
SmallVector<Value> AttentionEmitter::scorePoint(Value row, Value key, Value depth) {
  const Contraction &product = attention.scores;
  Values there(scores.op.getNumLoops());
  for (auto [loop, mine] : llvm::zip_equal(product.batch, contraction.batch))
    there[loop] = point[mine];
  for (auto [loop, value] : llvm::zip_equal(product.rows, kernel.delinearise(row, rowRanges)))
    there[loop] = value;
  there[product.columns.front()] = key;
  there[product.inner.front()] = depth;
  return there;
}

/// Whether `value` is the index of one loop, `found`, and what is added to it: from outside of the body, or read from arrays
/// where it `isFixed` for all scores of a block.
static bool growsWith(Value value, std::optional<unsigned> &found, Block *body,
                      llvm::function_ref<bool(BlockArgument)> isFixed) {
  Operation *def = value.getDefiningOp();
  if (auto argument = dyn_cast<BlockArgument>(value))
    return argument.getOwner() != body || isFixed(argument);
  if (def->getBlock() != body)
    return true;
  if (auto index = dyn_cast<linalg::IndexOp>(def)) {
    bool isFirst = !found;
    found = index.getDim();
    return isFirst;
  }
  if (isa<arith::IndexCastOp, arith::ExtSIOp, arith::TruncIOp>(def))
    return growsWith(def->getOperand(0), found, body, isFixed);
  return isa<arith::AddIOp>(def) && growsWith(def->getOperand(0), found, body, isFixed) &&
         growsWith(def->getOperand(1), found, body, isFixed);
}

/// Where the keys end that any row of the block sees: what a formula `place of key <= place of row + something` leaves.
Value AttentionEmitter::keyEnd() {
  for (auto [number, formula] : llvm::enumerate(attention.formulas)) {
    if (number + 1 != attention.formulas.size())
      continue; // another formula may make a score of what was hidden
    auto [op, input, wanted] = formula;
    Block *body = op.getBlock();
    auto select = wanted.getDefiningOp<arith::SelectOp>();
    auto compare = select ? select.getCondition().getDefiningOp<arith::CmpIOp>() : arith::CmpIOp();
    APFloat hidden(0.0f);
    if (!compare || !matchPattern(select.getFalseValue(), m_ConstantFloat(&hidden)) || !hidden.isInfinity() ||
        !hidden.isNegative() || compare.getPredicate() != arith::CmpIPredicate::sle)
      continue;
    // Which dimension of the scores a loop of the formula runs along.
    AffineMap read = op.getMatchingIndexingMap(&op->getOpOperand(input));
    AffineMap written = scores.op.getMatchingIndexingMap(scores.op.getDpsInitOperand(0));
    auto scoreLoop = [&](unsigned loop) {
      for (auto [r, w] : llvm::zip_equal(read.getResults(), written.getResults()))
        if (r == getAffineDimExpr(loop, op->getContext()))
          return cast<AffineDimExpr>(w).getPosition();
      return ~0u;
    };
    auto isFixed = [&, op = op](BlockArgument argument) mutable {
      AffineMap map = op.getMatchingIndexingMap(&op->getOpOperand(argument.getArgNumber()));
      for (unsigned loop = 0; loop < map.getNumDims(); ++loop)
        if (map.isFunctionOfDim(loop) && !llvm::is_contained(attention.scores.batch, scoreLoop(loop)))
          return false;
      return true;
    };
    std::optional<unsigned> row;
    auto cast = compare.getLhs().getDefiningOp<arith::IndexCastOp>();
    auto place = cast ? cast.getIn().getDefiningOp<linalg::IndexOp>() : linalg::IndexOp();
    if (!place || scoreLoop(place.getDim()) != attention.scores.columns.front() ||
        !growsWith(compare.getRhs(), row, body, isFixed) || !row || scoreLoop(*row) != attention.scores.rows.back())
      continue;
    // The last row, of those that this loop numbers.
    Value size = kernel.index(rowRanges.back());
    Value first = rowRanges.size() == 1 ? rowBase : arith::RemUIOp::create(inside, loc, rowBase, size).getResult();
    Value most = arith::SubIOp::create(inside, loc, size, kernel.index(1));
    Value last = arith::MinUIOp::create(inside, loc, add(first, blockRows - 1), most);
    Values there =
        epiloguePoint(*formulas[number], input,
                      scores.subscripts(*scores.op.getDpsInitOperand(0),
                                        scorePoint(rowBase, kernel.index(int64_t{0}), kernel.index(int64_t{0}))));
    there[*row] = last;
    Value limit = formulas[number]->computeFrom(compare.getRhs(), {}, there);
    if (!limit.getType().isIndex())
      limit = arith::IndexCastOp::create(inside, loc, inside.getIndexType(), limit);
    limit = arith::MaxSIOp::create(inside, loc, add(limit, 1), kernel.index(int64_t{0}));
    return arith::MinUIOp::create(inside, loc, limit, keyCount);
  }
  return keyCount;
}

/// The user's formulas of a score. Where they read arrays, places beyond the scores stand for the last one.
Value AttentionEmitter::formula(Value score, Value row, Value key) {
  bool readsArrays = llvm::any_of(attention.formulas, [](Attention::Formula formula) {
    return formula.op.getNumDpsInputs() > 1 || !formula.op.getBlock()->getOps<memref::LoadOp>().empty();
  });
  auto clamped = [&](Value place, Value count) -> Value {
    if (!readsArrays)
      return place;
    return arith::MinUIOp::create(inside, loc, place, arith::SubIOp::create(inside, loc, count, kernel.index(1)));
  };
  Values subscripts =
      scores.subscripts(*scores.op.getDpsInitOperand(0),
                        scorePoint(clamped(row, rowCount), clamped(key, keyCount), kernel.index(int64_t{0})));
  for (auto [number, formula] : llvm::enumerate(attention.formulas)) {
    auto [op, input, wanted] = formula;
    Nest &nest = *formulas[number];
    Values known(op->getNumOperands());
    known[input] = score;
    score = nest.computeFrom(wanted, known, epiloguePoint(nest, input, subscripts));
  }
  return score;
}
