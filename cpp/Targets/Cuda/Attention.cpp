//===- Attention.cpp - Two products with a softmax between them -------------===//
//
// Recognises attention by what is computed, not by a name: a product, formulas of its elements, the maximum of rows, the
// exponential of the difference, its sum, the quotient, a product. Nothing is rewritten here.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/Attention.h"

#include "Targets/Cuda/Combine.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

/// Elements along the depth of a score, and columns of a value, that registers and shared memory hold.
constexpr int64_t kMostColumns = 128;
/// Bytes of a copy, and how deep a product of tensor cores is.
constexpr int64_t kCopiedBytes = 16, kFragmentDepth = 16;

class Matcher {
public:
  Matcher(ArrayRef<linalg::LinalgOp> computations, bool onTensorCores)
      : computations(computations), onTensorCores(onTensorCores) {}
  bool match();
  Attention found;

private:
  linalg::LinalgOp next();
  bool startsFrom(linalg::LinalgOp op, llvm::function_ref<bool(const APFloat &)> wanted);
  OpOperand *reads(linalg::LinalgOp op, linalg::LinalgOp producer);
  Value argument(linalg::LinalgOp op, OpOperand *operand) { return op.getMatchingBlockArgument(operand); }
  bool sameElement(linalg::LinalgOp op, OpOperand *input);
  Value reducedValue(linalg::LinalgOp op, linalg::LinalgOp of);
  bool isSame(linalg::LinalgOp op, Value value, linalg::LinalgOp other, Value there);
  bool multiplies(const std::optional<Contraction> &product);
  bool computesQueries(linalg::LinalgOp op, const Contraction &product);
  bool correspond();
  bool runsDense(linalg::LinalgOp op, Value factor, unsigned loop);
  bool fits();
  bool isPrivate();
  bool readsNothingElse();

  ArrayRef<linalg::LinalgOp> computations;
  bool onTensorCores;
  unsigned position = 0;
  llvm::DenseMap<Value, linalg::LinalgOp> writer;
  /// Who wrote what an operand finds.
  llvm::DenseMap<OpOperand *, linalg::LinalgOp> source;
  /// Operands whose place in the pattern was found.
  llvm::DenseSet<OpOperand *> known;
};

/// The next computation that is no fill, with what its operands find.
linalg::LinalgOp Matcher::next() {
  while (position < computations.size()) {
    linalg::LinalgOp op = computations[position++];
    for (OpOperand &operand : op->getOpOperands())
      source[&operand] = writer.lookup(operand.get());
    for (Value init : op.getDpsInits())
      writer[init] = op;
    found.ops.push_back(op);
    if (!isa<linalg::FillOp>(op.getOperation()))
      return op;
  }
  return {};
}

bool Matcher::startsFrom(linalg::LinalgOp op, llvm::function_ref<bool(const APFloat &)> wanted) {
  linalg::LinalgOp start = source.lookup(op.getDpsInitOperand(0));
  auto fill = start ? dyn_cast<linalg::FillOp>(start.getOperation()) : linalg::FillOp();
  APFloat value(0.0f);
  return fill && matchPattern(fill.value(), m_ConstantFloat(&value)) && wanted(value);
}

/// The one input by which an operation reads what another wrote.
OpOperand *Matcher::reads(linalg::LinalgOp op, linalg::LinalgOp producer) {
  OpOperand *one = nullptr;
  for (OpOperand &operand : op->getOpOperands()) {
    if (source.lookup(&operand) != producer || (op.isDpsInit(&operand) && !op.payloadUsesValueFromOperand(&operand)))
      continue;
    if (one)
      return nullptr;
    one = &operand;
  }
  if (one)
    known.insert(one);
  return one;
}

/// Whether operations read from each other only what the pattern has: nothing else is ever written.
bool Matcher::readsNothingElse() {
  return llvm::all_of(found.ops, [&](linalg::LinalgOp op) {
    return llvm::all_of(op.getDpsInputOperands(),
                        [&](OpOperand *operand) { return !source.lookup(operand) || known.contains(operand); });
  });
}

/// Whether an input holds one value for each row of what another input holds.
static bool isPerRow(linalg::LinalgOp op, OpOperand *perRow, OpOperand *elements) {
  return op.getMatchingIndexingMap(perRow).getResults() == op.getMatchingIndexingMap(elements).getResults().drop_back();
}

/// Whether an operation computes each element from the same one of an input.
bool Matcher::sameElement(linalg::LinalgOp op, OpOperand *input) {
  return op.getNumReductionLoops() == 0 && op.getNumDpsInits() == 1 &&
         op.getMatchingIndexingMap(input).isPermutation() &&
         op.getMatchingIndexingMap(input) == op.getMatchingIndexingMap(op.getDpsInitOperand(0));
}

/// What an operation combines along the last dimension of what another computed; null if it does anything else.
Value Matcher::reducedValue(linalg::LinalgOp op, linalg::LinalgOp of) {
  OpOperand *input = op.getNumReductionLoops() == 1 ? reads(op, of) : nullptr;
  std::optional<Combiner> combiner = input ? combinerOf(op) : std::nullopt;
  if (!combiner || !op.getMatchingIndexingMap(input).isPermutation())
    return {};
  AffineMap read = op.getMatchingIndexingMap(input), written = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  if (written.getResults() != read.getResults().drop_back())
    return {};
  bool isFirst = combiner->op->getOperand(0) == op.getRegionOutputArgs().front();
  return combiner->op->getOperand(isFirst ? 1 : 0);
}

/// Whether the bodies of two operations compute two values in the same way from the same elements.
bool Matcher::isSame(linalg::LinalgOp op, Value value, linalg::LinalgOp other, Value there) {
  if (value == there)
    return true;
  auto argument = dyn_cast<BlockArgument>(value), matching = dyn_cast<BlockArgument>(there);
  if (argument || matching) {
    if (!argument || !matching || argument.getOwner() != op.getBlock() || matching.getOwner() != other.getBlock())
      return false;
    OpOperand &a = op->getOpOperand(argument.getArgNumber()), &b = other->getOpOperand(matching.getArgNumber());
    return a.get() == b.get() && source.lookup(&a) == source.lookup(&b) &&
           op.getMatchingIndexingMap(&a) == other.getMatchingIndexingMap(&b);
  }
  Operation *one = value.getDefiningOp(), *two = there.getDefiningOp();
  if (one->getBlock() != op.getBlock() || two->getBlock() != other.getBlock() || one->getName() != two->getName() ||
      one->getNumRegions() || one->getAttrDictionary() != two->getAttrDictionary() ||
      one->getResultTypes() != two->getResultTypes() || one->getNumOperands() != two->getNumOperands())
    return false;
  return llvm::all_of(llvm::zip_equal(one->getOperands(), two->getOperands()),
                      [&](auto pair) { return isSame(op, std::get<0>(pair), other, std::get<1>(pair)); });
}

/// `value` without a conversion to a narrower type.
Value widened(Value value) {
  auto narrow = value.getDefiningOp<arith::TruncFOp>();
  return narrow ? narrow.getIn() : value;
}

/// Whether `value` is `element` divided by `sum`, in one of the ways to write that.
bool isQuotient(Value value, Value element, Value sum) {
  value = widened(value);
  if (auto quotient = value.getDefiningOp<arith::DivFOp>())
    return quotient.getLhs() == element && quotient.getRhs() == sum;
  auto product = value.getDefiningOp<arith::MulFOp>();
  if (!product)
    return false;
  Value other = product.getLhs() == element ? product.getRhs() : product.getLhs();
  auto inverse = other.getDefiningOp<arith::DivFOp>();
  return (product.getLhs() == element || product.getRhs() == element) && inverse && inverse.getRhs() == sum &&
         matchPattern(inverse.getLhs(), m_OneFloat());
}

/// Whether it is a product that the wanted kernel computes.
bool Matcher::multiplies(const std::optional<Contraction> &product) {
  if (!product || !startsFrom(product->op, [](const APFloat &x) { return x.isZero(); }))
    return false;
  return onTensorCores
             ? isa_and_nonnull<FloatType>(product->narrow)
             : product->multiply->getResult(0).getType().isF32() && product->sum->getResult(0).getType().isF32();
}

/// An operation whose results are the queries, one each: only the product reads them.
bool Matcher::computesQueries(linalg::LinalgOp op, const Contraction &product) {
  OpOperand *input = reads(product.op, op);
  return input && !onTensorCores && op.getNumReductionLoops() == 0 && op.getNumDpsInits() == 1 &&
         op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isPermutation() &&
         !op.payloadUsesValueFromOperand(op.getDpsInitOperand(0)) &&
         unwidened(product.lhs) == argument(product.op, input);
}

bool Matcher::match() {
  linalg::LinalgOp product = next();
  if (product && product.getNumReductionLoops() == 0) {
    found.queries = product;
    product = next();
  }
  std::optional<Contraction> scores = product ? contractionOf(product) : std::nullopt;
  if (!multiplies(scores) || (found.queries && !computesQueries(found.queries, *scores)))
    return false;
  found.scores = *scores;
  linalg::LinalgOp current = product, op = next();
  for (; op && op.getNumReductionLoops() == 0; op = next()) {
    OpOperand *input = reads(op, current);
    if (!input || !sameElement(op, input))
      return false;
    found.formulas.push_back({op, input->getOperandNumber(), op.getBlock()->getTerminator()->getOperand(0)});
    current = op;
  }
  linalg::LinalgOp top = op;
  Value compared = top ? reducedValue(top, current) : Value();
  if (!compared || !isa<arith::MaximumFOp>(combinerOf(top)->op) ||
      !startsFrom(top, [](const APFloat &x) { return x.isInfinity() && x.isNegative(); }))
    return false;

  linalg::LinalgOp power = next();
  OpOperand *score = power ? reads(power, current) : nullptr, *highest = power ? reads(power, top) : nullptr;
  if (!score || !highest || !sameElement(power, score) || !isPerRow(power, highest, score))
    return false;
  auto exponential = power.getBlock()->getTerminator()->getOperand(0).getDefiningOp<math::ExpOp>();
  auto difference = exponential ? exponential.getOperand().getDefiningOp<arith::SubFOp>() : arith::SubFOp();
  // Both compute what they compare or subtract from in the same way, where that is not a score itself.
  if (!difference || !difference.getType().isF32() || difference.getRhs() != argument(power, highest) ||
      !isSame(power, difference.getLhs(), top, compared))
    return false;
  if (difference.getLhs() != argument(power, score))
    found.formulas.push_back({power, score->getOperandNumber(), difference.getLhs()});

  linalg::LinalgOp sum = next();
  Value added = sum ? reducedValue(sum, power) : Value();
  if (!added || added != argument(sum, reads(sum, power)) || !isa<arith::AddFOp>(combinerOf(sum)->op) ||
      !startsFrom(sum, [](const APFloat &x) { return x.isZero(); }))
    return false;

  linalg::LinalgOp weights = next();
  OpOperand *element = weights ? reads(weights, power) : nullptr, *total = weights ? reads(weights, sum) : nullptr;
  if (!element || !total || !sameElement(weights, element) || !isPerRow(weights, total, element) ||
      !isQuotient(weights.getBlock()->getTerminator()->getOperand(0), argument(weights, element),
                  argument(weights, total)))
    return false;

  linalg::LinalgOp last = next();
  std::optional<Contraction> values = last ? contractionOf(last) : std::nullopt;
  OpOperand *factor = values ? reads(last, weights) : nullptr;
  if (!factor || !multiplies(values) || (onTensorCores && values->narrow != scores->narrow))
    return false;
  found.values = *values;
  return unwidened(values->lhs) == argument(last, factor) && correspond() && fits() && isPrivate() &&
         readsNothingElse();
}

/// The dimensions of the weights are batch, rows and columns of the first product, and batch, rows and depth of the second,
/// in the same order.
bool Matcher::correspond() {
  Contraction &scores = found.scores, &values = found.values;
  auto factor = cast<BlockArgument>(unwidened(values.lhs));
  AffineMap written = scores.op.getMatchingIndexingMap(scores.op.getDpsInitOperand(0));
  AffineMap read = values.op.getMatchingIndexingMap(&values.op->getOpOperand(factor.getArgNumber()));
  if (!written.isProjectedPermutation() || !read.isProjectedPermutation() || scores.columns.size() != 1 ||
      values.inner.size() != 1 || values.columns.size() != 1 || scores.inner.size() != 1 || scores.rows.empty() ||
      scores.rows.size() != values.rows.size() || scores.batch.size() != values.batch.size())
    return false;
  auto placeOf = [](ArrayRef<unsigned> loops, unsigned loop) -> std::optional<unsigned> {
    const auto *found = llvm::find(loops, loop);
    return found == loops.end() ? std::nullopt : std::optional<unsigned>(found - loops.begin());
  };
  for (auto [w, r] : llvm::zip_equal(written.getResults(), read.getResults())) {
    unsigned there = cast<AffineDimExpr>(w).getPosition(), here = cast<AffineDimExpr>(r).getPosition();
    if (placeOf(scores.batch, there) != placeOf(values.batch, here) ||
        placeOf(scores.rows, there) != placeOf(values.rows, here) ||
        placeOf(scores.columns, there) != placeOf(values.inner, here))
      return false;
  }
  return true;
}

/// Whether a factor is read from an array whose neighbours along `loop` are neighbours in memory, a known number of them
/// that units of 16 bytes divide, and fragments of tensor cores where they are used.
bool Matcher::runsDense(linalg::LinalgOp op, Value factor, unsigned loop) {
  auto argument = dyn_cast<BlockArgument>(unwidened(factor));
  if (!argument || argument.getOwner() != op.getBlock())
    return false;
  OpOperand &operand = op->getOpOperand(argument.getArgNumber());
  auto type = dyn_cast<MemRefType>(operand.get().getType());
  AffineMap map = op.getMatchingIndexingMap(&operand);
  if (!type || !isa<FloatType>(type.getElementType()) || type.getElementTypeBitWidth() > 32 ||
      map.getNumResults() == 0 || !map.isProjectedPermutation(/*allowZeroInResults=*/true))
    return false;
  int64_t size = type.getShape().back(), unit = kCopiedBytes * 8 / type.getElementTypeBitWidth();
  if (size <= 0 || size > kMostColumns || size % (onTensorCores ? kFragmentDepth : unit) != 0 ||
      map.getResults().back() != getAffineDimExpr(loop, op->getContext()))
    return false;
  return hasWholeLines(type) || (!onTensorCores && type.getStridesAndOffset().first.back() == 1);
}

bool Matcher::fits() {
  Contraction &scores = found.scores, &values = found.values;
  return (!onTensorCores || runsDense(scores.op, scores.lhs, scores.inner.front())) &&
         runsDense(scores.op, scores.rhs, scores.inner.front()) &&
         runsDense(values.op, values.rhs, values.columns.front());
}

/// Whether nobody else looks at what lies between the operations.
bool Matcher::isPrivate() {
  Value result = found.values.op.getDpsInits().front();
  for (linalg::LinalgOp op : found.ops)
    for (Value array : op.getDpsInits()) {
      if (array == result)
        continue;
      auto view = array.getDefiningOp<memref::ViewOp>();
      if (!view || !view.getSource().getDefiningOp<rt::ScratchPushOp>())
        return false;
      for (Operation *user : array.getUsers())
        if (!isa<memref::DimOp>(user) && !llvm::is_contained(found.ops, dyn_cast<linalg::LinalgOp>(user)))
          return false;
    }
  return true;
}

} // namespace

Value cuda::unwidened(Value factor) {
  auto widened = factor.getDefiningOp<arith::ExtFOp>();
  return widened ? widened.getIn() : factor;
}

bool cuda::hasWholeLines(MemRefType type) {
  int64_t unit = kCopiedBytes * 8 / type.getElementTypeBitWidth();
  auto isWhole = [&](int64_t count) { return !ShapedType::isDynamic(count) && count % unit == 0; };
  if (type.getLayout().isIdentity())
    return isWhole(type.getShape().back());
  auto [strides, offset] = type.getStridesAndOffset();
  return strides.back() == 1 && isWhole(offset) && llvm::all_of(ArrayRef<int64_t>(strides).drop_back(), isWhole);
}

std::optional<Attention> cuda::attentionOf(ArrayRef<linalg::LinalgOp> computations, bool onTensorCores) {
  Matcher matcher(computations, onTensorCores);
  if (!matcher.match())
    return std::nullopt;
  // Fills of other computations stood among these.
  Attention &found = matcher.found;
  llvm::erase_if(found.ops, [&](linalg::LinalgOp op) {
    auto fill = dyn_cast<linalg::FillOp>(op.getOperation());
    return fill && llvm::none_of(found.ops, [&](linalg::LinalgOp other) {
             return other != op && llvm::is_contained(other->getOperands(), fill.output());
           });
  });
  return std::move(found);
}
