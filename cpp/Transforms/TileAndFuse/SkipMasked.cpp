//===- SkipMasked.cpp - Leave out what a mask makes nothing of ------------===//
//
// In:  a kernel tiled over threads, whose tile masks scores: those of columns
// beyond a bound become -inf (causal attention).
// Out: reductions over these columns end at the bound of the tile's last row,
// and what they read is computed no further.
// Valid because nothing comes of the rest: the maximum ignores -inf, and after
// the exponential sums add zeros. Here, where tiles of rows exist and have a
// bound each, and slices still pull their producers behind them.
//
//   max over t of (t <= s ? x[t] : -inf), s in [s0, s0 + 8)   ->   t in [0, s0 + 8)
//===----------------------------------------------------------------------===//
#include "Transforms/TileAndFuse/TileAndFuse.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SCF/Transforms/TileUsingInterface.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tensor/Transforms/Transforms.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/MapVector.h"

using namespace mlir;
using namespace tilewright;

namespace {

/// Bounds are rounded up to whole panels and vectors.
constexpr int64_t kGranule = 32;

/// What is known of the elements beyond the bound: `Invariant` ones do not
/// change along the masked dimension (a row's maximum), `Accumulator` is the
/// value that a reduction carries, unchanged.
enum class Beyond { Unknown, Invariant, MinusInfinity, Zero, Accumulator };

/// A tensor whose elements beyond `bound` along `dim` are known.
struct Masked {
  Beyond what = Beyond::Unknown;
  unsigned dim = 0;
  Value bound;
};

bool isMinusInfinity(Value value) {
  FloatAttr constant;
  return matchPattern(value, m_Constant(&constant)) && constant.getValue().isInfinity() &&
         constant.getValue().isNegative();
}

/// Integers that hold any index. In narrow ones indices and their sums wrap, and
/// what comes before a bound is no longer below it.
bool isWide(Type type) { return type.isIndex() || (type.isInteger() && type.getIntOrFloatBitWidth() >= 32); }

/// The index that `value` is a wide conversion of, or null.
linalg::IndexOp strippedIndex(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (auto index = dyn_cast<linalg::IndexOp>(op))
      return index;
    if (!isa<arith::IndexCastOp, arith::TruncIOp, arith::ExtSIOp>(op) || !isWide(value.getType()))
      break;
    value = op->getOperand(0);
  }
  return {};
}

bool isSum(AffineExpr expr) {
  if (auto binary = dyn_cast<AffineBinaryOpExpr>(expr))
    return binary.getKind() == AffineExprKind::Add && isSum(binary.getLHS()) && isSum(binary.getRHS());
  return true;
}

/// Computes before `op`, as an index, the largest value that the sum `value` of
/// its body takes: at the last trip of every loop. Null where it is no sum of
/// indices and scalars.
Value largest(OpBuilder &builder, linalg::GenericOp op, ArrayRef<Range> domain, Value value) {
  Location loc = op.getLoc();
  if (!isWide(value.getType()))
    return {};
  auto asIndex = [&](Value scalar) {
    return getValueOrCreateCastToIndexLike(builder, loc, builder.getIndexType(), scalar);
  };
  if (auto argument = dyn_cast<BlockArgument>(value); argument && argument.getOwner() == op.getBody()) {
    OpOperand *operand = op.getMatchingOpOperand(argument);
    if (op.isDpsInit(operand) || op.getMatchingIndexingMap(operand).getNumResults() != 0)
      return {};
    return asIndex(tensor::ExtractOp::create(builder, loc, operand->get(), ValueRange()));
  }
  Operation *def = value.getDefiningOp();
  if (!def || def->getBlock() != op.getBody())
    return asIndex(value);
  if (linalg::IndexOp index = strippedIndex(value)) {
    Value size = getValueOrCreateConstantIndexOp(builder, loc, domain[index.getDim()].size);
    return arith::SubIOp::create(builder, loc, size, arith::ConstantIndexOp::create(builder, loc, 1));
  }
  auto apply = dyn_cast<affine::AffineApplyOp>(def);
  if (!(isa<arith::IndexCastOp, arith::ExtSIOp, arith::AddIOp>(def) ||
        (apply && isSum(apply.getAffineMap().getResult(0)))))
    return {};
  SmallVector<Value> operands;
  for (Value operand : def->getOperands()) {
    operands.push_back(largest(builder, op, domain, operand));
    if (!operands.back())
      return {};
  }
  if (apply)
    return affine::AffineApplyOp::create(builder, loc, apply.getAffineMap(), operands);
  return operands.size() == 1 ? operands.front()
                              : arith::AddIOp::create(builder, loc, operands[0], operands[1]).getResult();
}

/// Recognises `column <= sum ? x : -inf` and computes the tile's bound.
std::optional<Masked> matchMask(OpBuilder &builder, linalg::GenericOp op) {
  if (op.getNumReductionLoops() || op->getNumResults() != 1)
    return std::nullopt;
  auto select = op.getBody()->getTerminator()->getOperand(0).getDefiningOp<arith::SelectOp>();
  auto compare = select ? select.getCondition().getDefiningOp<arith::CmpIOp>() : arith::CmpIOp();
  if (!compare || compare.getPredicate() != arith::CmpIPredicate::sle || !isMinusInfinity(select.getFalseValue()))
    return std::nullopt;
  linalg::IndexOp column = strippedIndex(compare.getLhs());
  if (!column)
    return std::nullopt;
  AffineMap written = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  std::optional<unsigned> dim = written.getResultPosition(builder.getAffineDimExpr(column.getDim()));
  if (!dim)
    return std::nullopt;

  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPoint(op);
  Location loc = op.getLoc();
  SmallVector<Range> domain = cast<TilingInterface>(op.getOperation()).getIterationDomain(builder);
  Value last = largest(builder, op, domain, compare.getRhs());
  if (!last)
    return std::nullopt;
  // At least one granule, so that rows without any column keep what they had.
  AffineExpr s = builder.getAffineSymbolExpr(0);
  Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
  last = arith::MaxSIOp::create(builder, loc, last, zero);
  Value rounded = affine::makeComposedAffineApply(builder, loc, (s.floorDiv(kGranule) + 1) * kGranule, {last});
  Value all = getValueOrCreateConstantIndexOp(builder, loc, domain[column.getDim()].size);
  return Masked{Beyond::MinusInfinity, *dim, arith::MinSIOp::create(builder, loc, rounded, all)};
}

/// What comes of known elements in a body: the state of its yielded value.
Beyond evaluate(linalg::GenericOp op, ArrayRef<Beyond> arguments) {
  DenseMap<Value, Beyond> state;
  for (auto [argument, what] : llvm::zip_equal(op.getBody()->getArguments(), arguments))
    state[argument] = what;
  auto stateOf = [&](Value value) {
    auto found = state.find(value);
    if (found != state.end())
      return found->second;
    return value.getParentBlock() == op.getBody() ? Beyond::Unknown : Beyond::Invariant;
  };
  for (Operation &inner : op.getBody()->without_terminator()) {
    if (inner.getNumResults() != 1)
      return Beyond::Unknown;
    Beyond lhs = inner.getNumOperands() ? stateOf(inner.getOperand(0)) : Beyond::Unknown;
    Beyond rhs = inner.getNumOperands() > 1 ? stateOf(inner.getOperand(1)) : Beyond::Unknown;
    auto either = [&](Beyond a, Beyond b) { return (lhs == a && rhs == b) || (lhs == b && rhs == a); };
    bool isInvariant = isPure(&inner) && !isa<linalg::IndexOp>(inner) &&
                       llvm::all_of(inner.getOperands(), [&](Value v) { return stateOf(v) == Beyond::Invariant; });
    Beyond result = isInvariant ? Beyond::Invariant : Beyond::Unknown;
    if (isa<arith::SubFOp>(inner) && lhs == Beyond::MinusInfinity && rhs == Beyond::Invariant)
      result = Beyond::MinusInfinity;
    else if (isa<math::ExpOp>(inner) && lhs == Beyond::MinusInfinity)
      result = Beyond::Zero;
    else if (isa<arith::MulFOp>(inner) &&
             (either(Beyond::Zero, Beyond::Unknown) || either(Beyond::Zero, Beyond::Invariant)))
      result = Beyond::Zero;
    else if (isa<arith::DivFOp>(inner) && lhs == Beyond::Zero && rhs == Beyond::Invariant)
      result = Beyond::Zero;
    else if (isa<arith::MaximumFOp>(inner) && either(Beyond::Accumulator, Beyond::MinusInfinity))
      result = Beyond::Accumulator;
    else if (isa<arith::AddFOp>(inner) && either(Beyond::Accumulator, Beyond::Zero))
      result = Beyond::Accumulator;
    state[inner.getResult(0)] = result;
  }
  return stateOf(op.getBody()->getTerminator()->getOperand(0));
}

/// A reduction that may end early: along which loop and where.
struct Ending {
  linalg::GenericOp op;
  unsigned loop;
  Value bound;
};

/// Follows masked tensors through the operations of a tile.
class Follower {
public:
  Follower(OpBuilder &builder, Block &block) {
    for (auto op : block.getOps<linalg::GenericOp>()) {
      if (std::optional<Masked> masked = matchMask(builder, op))
        known[op->getResult(0)] = *masked;
      else
        follow(op);
    }
  }

  ArrayRef<Ending> getEndings() const { return endings; }

private:
  void follow(linalg::GenericOp op) {
    if (op->getNumResults() != 1)
      return;
    std::optional<unsigned> loop;
    Value bound;
    SmallVector<Beyond> arguments(op.getBody()->getNumArguments(), Beyond::Unknown);
    for (OpOperand *input : op.getDpsInputOperands()) {
      auto found = known.find(input->get());
      if (found == known.end())
        continue;
      auto expr = dyn_cast<AffineDimExpr>(op.getMatchingIndexingMap(input).getResult(found->second.dim));
      if (!expr || (loop && (*loop != expr.getPosition() || bound != found->second.bound)))
        return;
      loop = expr.getPosition();
      bound = found->second.bound;
      arguments[input->getOperandNumber()] = found->second.what;
    }
    if (!loop)
      return;
    for (OpOperand *input : op.getDpsInputOperands())
      if (!known.contains(input->get()) && !op.getMatchingIndexingMap(input).isFunctionOfDim(*loop))
        arguments[input->getOperandNumber()] = Beyond::Invariant;
    bool reduces = op.getIteratorTypesArray()[*loop] == utils::IteratorType::reduction;
    if (reduces)
      arguments.back() = Beyond::Accumulator;
    Beyond result = evaluate(op, arguments);
    if (reduces && result == Beyond::Accumulator)
      endings.push_back({op, *loop, bound});
    AffineMap written = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
    std::optional<unsigned> dim = written.getResultPosition(getAffineDimExpr(*loop, op.getContext()));
    if (!reduces && dim)
      known[op->getResult(0)] = {result, *dim, bound};
  }

  llvm::MapVector<Value, Masked> known;
  SmallVector<Ending> endings;
};

/// Whether a slice that starts at zero takes all of its source: `sizes` are
/// those of whole loops.
bool isWhole(tensor::ExtractSliceOp slice, ArrayRef<OpFoldResult> sizes) {
  return slice.getSourceType() == slice.getType() && llvm::all_of(slice.getMixedSizes(), [&](OpFoldResult size) {
           return isa<Attribute>(size) || llvm::is_contained(sizes, size);
         });
}

/// Slices that end at `bound` are computed as slices: their producers follow.
LogicalResult pullProducers(IRRewriter &rewriter, ArrayRef<Operation *> created, Value bound,
                            ArrayRef<OpFoldResult> wholeSizes) {
  SmallVector<Operation *> worklist(created);
  while (!worklist.empty()) {
    auto slice = dyn_cast<tensor::ExtractSliceOp>(worklist.pop_back_val());
    if (!slice)
      continue;
    if (isWhole(slice, wholeSizes)) {
      rewriter.replaceOp(slice, slice.getSource());
      continue;
    }
    auto producer = slice.getSource().getDefiningOp<linalg::LinalgOp>();
    if (!producer || producer->getBlock() != slice->getBlock() ||
        !llvm::is_contained(slice.getMixedSizes(), OpFoldResult(bound)))
      continue;
    rewriter.setInsertionPoint(slice);
    FailureOr<TilingResult> tiled =
        tensor::replaceExtractSliceWithTiledProducer(rewriter, slice, cast<OpResult>(slice.getSource()));
    if (failed(tiled))
      return failure();
    llvm::append_range(worklist, tiled->generatedSlices);
    rewriter.replaceOp(slice, tiled->tiledValues.front());
  }
  return success();
}

} // namespace

LogicalResult tilewright::skipMasked(func::FuncOp function) {
  IRRewriter rewriter(function.getContext());
  SmallVector<Ending> endings;
  function.walk(
      [&](scf::ForallOp loop) { llvm::append_range(endings, Follower(rewriter, *loop.getBody()).getEndings()); });
  for (Ending ending : endings) {
    auto tiling = cast<TilingInterface>(ending.op.getOperation());
    rewriter.setInsertionPoint(ending.op);
    SmallVector<OpFoldResult> offsets, sizes, wholeSizes;
    for (auto [i, range] : llvm::enumerate(tiling.getIterationDomain(rewriter))) {
      offsets.push_back(rewriter.getIndexAttr(0));
      sizes.push_back(i == ending.loop ? OpFoldResult(ending.bound) : range.size);
      if (i != ending.loop)
        wholeSizes.push_back(range.size);
    }
    FailureOr<TilingResult> tiled = tiling.getTiledImplementation(rewriter, offsets, sizes);
    if (failed(tiled) || tiled->tiledValues.front().getType() != ending.op->getResult(0).getType())
      return ending.op.emitError("cannot end where its mask does");
    rewriter.replaceOp(ending.op, tiled->tiledValues);
    if (failed(pullProducers(rewriter, tiled->generatedSlices, ending.bound, wholeSizes)))
      return failure();
  }
  return success();
}
