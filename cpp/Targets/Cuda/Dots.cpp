//===- Dots.cpp - Products whose few rows stay in registers -----------------===//
//
// Finds out how the weights of a product lie: which loops of the depth go along storage, and which take different parts of
// the same bytes. Nothing is rewritten here.
//===----------------------------------------------------------------------===//
#include "Targets/Cuda/Dots.h"

#include "Analysis/Products.h"

#include "llvm/Support/MathExtras.h"
#include <numeric>

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

constexpr int64_t kWidestRead = 16;
/// Elements of the few rows that a thread brings to shared memory at once.
constexpr int64_t kBrought = 4;

/// How far apart an operand's elements are along each loop; nothing where that is not known.
std::optional<SmallVector<int64_t>> stepsOf(linalg::LinalgOp op, OpOperand &operand) {
  auto type = dyn_cast<MemRefType>(operand.get().getType());
  SmallVector<int64_t> steps(op.getNumLoops(), 0);
  if (!type)
    return steps;
  auto [strides, offset] = type.getStridesAndOffset();
  for (auto [result, stride] : llvm::zip_equal(op.getMatchingIndexingMap(&operand).getResults(), strides)) {
    // Sums of loops times constants; a constant alone moves nothing.
    SmallVector<std::pair<AffineExpr, int64_t>> rest{{result, 1}};
    while (!rest.empty()) {
      auto [expr, factor] = rest.pop_back_val();
      if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
        if (ShapedType::isDynamic(stride))
          return std::nullopt;
        steps[dim.getPosition()] += factor * stride;
      } else if (auto binary = dyn_cast<AffineBinaryOpExpr>(expr); binary && expr.getKind() == AffineExprKind::Add) {
        rest.push_back({binary.getLHS(), factor});
        rest.push_back({binary.getRHS(), factor});
      } else if (auto times = binary ? dyn_cast<AffineConstantExpr>(binary.getRHS()) : AffineConstantExpr();
                 times && expr.getKind() == AffineExprKind::Mul) {
        rest.push_back({binary.getLHS(), factor * times.getValue()});
      } else if (!isa<AffineConstantExpr>(expr)) {
        return std::nullopt;
      }
    }
  }
  return llvm::any_of(steps, [](int64_t step) { return step < 0; }) ? std::nullopt : std::optional(steps);
}

/// The smallest constant part of an operand's subscripts: where its first element lies.
int64_t startOf(linalg::LinalgOp op, OpOperand &operand) {
  auto type = cast<MemRefType>(operand.get().getType());
  auto [strides, offset] = type.getStridesAndOffset();
  SmallVector<int64_t> zeros(op.getNumLoops(), 0);
  SmallVector<int64_t> first = op.getMatchingIndexingMap(&operand).compose(zeros);
  int64_t found = 0;
  for (auto [place, stride] : llvm::zip_equal(first, strides))
    if (place)
      found += place * stride;
  return found;
}

class DotsFinder {
public:
  DotsFinder(linalg::LinalgOp op, int64_t lanes) : op(op), lanes(lanes) {}
  std::optional<Dots> find();

private:
  bool sides();
  bool findUnit();
  bool findTerms();
  bool expand(Value value, bool negative, SmallVector<DotTerm> &sum);
  bool differs(Value value);
  std::optional<BlockedRead> read(OpOperand &operand, int64_t count, ArrayRef<int64_t> multiples);
  bool findReads();
  bool isNeeded(OpOperand &operand, Value wanted);

  linalg::LinalgOp op;
  int64_t lanes;
  Dots dots;
  Value many;
  SmallVector<int64_t> ranges;
  std::optional<LoopsOf> loopsOf;
};

/// Whether a value of the body needs an operand.
bool DotsFinder::isNeeded(OpOperand &operand, Value wanted) {
  BlockArgument argument = op.getMatchingBlockArgument(&operand);
  SmallVector<Value> rest{wanted};
  llvm::SmallPtrSet<Value, 16> seen;
  while (!rest.empty()) {
    Value value = rest.pop_back_val();
    if (value == argument)
      return true;
    if (Operation *def = value.getDefiningOp(); def && def->getBlock() == op.getBlock() && seen.insert(value).second)
      def->walk([&](Operation *each) { llvm::append_range(rest, each->getOperands()); });
  }
  return false;
}

/// Which factor has few rows, and the sizes of all loops of the depth.
bool DotsFinder::sides() {
  Type type = dots.contraction.sum->getResult(0).getType();
  if ((!type.isF32() && !type.isInteger(32)) || dots.contraction.multiply->getResult(0).getType() != type)
    return false;
  ranges = op.getStaticLoopRanges();
  auto count = [&](ArrayRef<unsigned> loops) {
    int64_t product = 1;
    for (unsigned loop : loops)
      product = ShapedType::isDynamic(ranges[loop]) || product < 0 ? -1 : product * ranges[loop];
    return product;
  };
  int64_t rows = count(dots.contraction.rows), columns = count(dots.contraction.columns);
  if (count(dots.contraction.inner) <= 0 || (rows < 0 && columns < 0))
    return false;
  dots.columnsAreMany = rows >= 0 && (columns < 0 || rows <= columns);
  dots.few = dots.columnsAreMany ? dots.contraction.lhs : dots.contraction.rhs;
  many = dots.columnsAreMany ? dots.contraction.rhs : dots.contraction.lhs;
  // Rows of weights that one loop counts are as far apart everywhere.
  return (dots.columnsAreMany ? rows : columns) > 0 &&
         (dots.columnsAreMany ? dots.contraction.columns : dots.contraction.rows).size() == 1;
}

/// The unit: along the weights that have most bits, and whatever lies in the same bytes.
bool DotsFinder::findUnit() {
  OpOperand *stored = nullptr;
  int64_t most = 0;
  SmallVector<int64_t> steps;
  for (OpOperand *input : op.getDpsInputOperands()) {
    std::optional<SmallVector<int64_t>> found = stepsOf(op, *input);
    if (!isa<MemRefType>(input->get().getType()) || !isNeeded(*input, many))
      continue;
    if (!found)
      return false;
    int64_t bits = getElementTypeOrSelf(input->get().getType()).getIntOrFloatBitWidth();
    for (unsigned loop : dots.contraction.inner)
      bits *= (*found)[loop] ? ranges[loop] : 1;
    if (bits > most) {
      most = bits;
      stored = input;
      steps = *found;
    }
  }
  if (!stored)
    return false;
  SmallVector<unsigned> along;
  for (unsigned loop : dots.contraction.inner) {
    if (steps[loop] > 1 || ranges[loop] == 1) {
      along.push_back(loop);
      continue;
    }
    dots.unitLoops.push_back(loop);
    dots.unitSizes.push_back(steps[loop] ? lanes : ranges[loop]);
    if (!llvm::isPowerOf2_64(dots.unitSizes.back()) || ranges[loop] % dots.unitSizes.back())
      return false;
    if (steps[loop]) {
      dots.stepLoops.push_back(loop);
      dots.stepSizes.push_back(ranges[loop] / lanes);
    }
  }
  if (dots.stepLoops.size() != 1 || dots.elements() % kBrought)
    return false;
  llvm::stable_sort(along, [&](unsigned a, unsigned b) { return steps[a] < steps[b]; });
  for (unsigned loop : along) {
    dots.stepLoops.insert(dots.stepLoops.begin(), loop);
    dots.stepSizes.insert(dots.stepSizes.begin(), ranges[loop]);
  }
  return true;
}

/// Whether a value is not the same for all elements of a unit.
bool DotsFinder::differs(Value value) {
  llvm::SmallBitVector loops = (*loopsOf)(value);
  return llvm::any_of(dots.unitLoops, [&](unsigned loop) { return loops.test(loop); });
}

/// Splits a factor of weights into a sum of products where that lets something be taken out of a unit.
bool DotsFinder::expand(Value value, bool negative, SmallVector<DotTerm> &sum) {
  Operation *def = value.getDefiningOp();
  bool isHere = def && def->getBlock() == op.getBlock();
  if (isHere && isa<arith::MulFOp>(def)) {
    SmallVector<DotTerm> left, right;
    bool any = expand(def->getOperand(0), negative, left);
    any |= expand(def->getOperand(1), false, right);
    for (const DotTerm &a : left)
      for (const DotTerm &b : right) {
        DotTerm both{a.inside, a.outside, a.negative != b.negative};
        llvm::append_range(both.inside, b.inside);
        llvm::append_range(both.outside, b.outside);
        sum.push_back(both);
      }
    return any || llvm::any_of(sum, [](const DotTerm &term) { return !term.inside.empty() && !term.outside.empty(); });
  }
  if (isHere && isa<arith::AddFOp, arith::SubFOp>(def)) {
    SmallVector<DotTerm> parts;
    bool any = expand(def->getOperand(0), negative, parts);
    any |= expand(def->getOperand(1), negative != isa<arith::SubFOp>(def), parts);
    if (any) {
      llvm::append_range(sum, parts);
      return true;
    }
  }
  DotTerm term{{}, {}, negative};
  (differs(value) ? term.inside : term.outside).push_back(value);
  sum.push_back(term);
  return false;
}

/// The products that a sum consists of. Those of the user keep their order: only dequantisation is taken apart.
bool DotsFinder::findTerms() {
  bool isStored =
      llvm::any_of(*op.getBlock(), [](Operation &each) { return isa<arith::SIToFPOp, arith::UIToFPOp>(each); });
  loopsOf.emplace(cast<linalg::GenericOp>(op.getOperation()));
  if (isStored)
    expand(many, false, dots.terms);
  else
    dots.terms.push_back({{many}, {}, false});
  return dots.terms.size() <= 2;
}

/// How an operand is read for `count` elements of a unit, whose first stands at multiples of `multiples`.
std::optional<BlockedRead> DotsFinder::read(OpOperand &operand, int64_t count, ArrayRef<int64_t> multiples) {
  auto type = cast<MemRefType>(operand.get().getType());
  std::optional<SmallVector<int64_t>> steps = stepsOf(op, operand);
  if (!steps || !type.getElementType().isIntOrFloat() || type.getElementTypeBitWidth() % 8)
    return std::nullopt;
  ArrayRef<unsigned> rows = dots.columnsAreMany ? dots.contraction.columns : dots.contraction.rows;
  BlockedRead found{&operand, 1, {}, {}, (*steps)[rows.back()]};
  for (int64_t element = 0; element < count; ++element) {
    SmallVector<int64_t> place = dots.place(element);
    found.offsets.push_back(std::inner_product(place.begin(), place.end(), steps->begin(), int64_t{0}));
  }
  // The first element's place is a multiple of this.
  int64_t multiple = std::gcd(kWidestRead, startOf(op, operand));
  for (auto [step, each] : llvm::zip_equal(*steps, multiples))
    multiple = std::gcd(multiple, step * each);
  int64_t most = kWidestRead * 8 / type.getElementTypeBitWidth();
  if (type.getLayout().isIdentity())
    found.width = std::min<int64_t>(multiple & -multiple, most);
  int64_t furthest = *llvm::max_element(found.offsets);
  while (found.width > 1 && found.width / 2 > furthest)
    found.width /= 2;
  for (int64_t offset : found.offsets)
    if (!llvm::is_contained(found.blocks, offset / found.width))
      found.blocks.push_back(offset / found.width);
  return found;
}

bool DotsFinder::findReads() {
  SmallVector<int64_t> multiples(op.getNumLoops(), 1), quarters(op.getNumLoops(), 1);
  int64_t left = kBrought;
  for (auto [loop, size] : llvm::reverse(llvm::zip_equal(dots.unitLoops, dots.unitSizes))) {
    multiples[loop] = size;
    quarters[loop] = std::min(left, size);
    left /= quarters[loop];
  }
  for (OpOperand *input : op.getDpsInputOperands()) {
    if (!isa<MemRefType>(input->get().getType()))
      continue;
    bool isWeight = isNeeded(*input, many);
    if (!isWeight && !isNeeded(*input, dots.few))
      continue;
    std::optional<BlockedRead> found =
        isWeight ? read(*input, dots.elements(), multiples) : read(*input, kBrought, quarters);
    if (!found || (isWeight && isNeeded(*input, dots.few)))
      return false;
    (isWeight ? dots.weights : dots.others).push_back(*found);
  }
  return true;
}

std::optional<Dots> DotsFinder::find() {
  std::optional<Contraction> contraction = contractionOf(op);
  if (!contraction || !isa<linalg::GenericOp>(op.getOperation()))
    return std::nullopt;
  dots.contraction = *contraction;
  if (!sides() || !findUnit() || !findTerms() || !findReads())
    return std::nullopt;
  return std::move(dots);
}

} // namespace

int64_t Dots::elements() const {
  return std::accumulate(unitSizes.begin(), unitSizes.end(), int64_t{1}, std::multiplies<>());
}

int64_t Dots::units() const {
  return std::accumulate(stepSizes.begin(), stepSizes.end(), int64_t{1}, std::multiplies<>());
}

SmallVector<int64_t> Dots::place(int64_t element) const {
  linalg::LinalgOp op = contraction.op;
  SmallVector<int64_t> found(op.getNumLoops(), 0);
  for (auto [loop, size] : llvm::reverse(llvm::zip_equal(unitLoops, unitSizes))) {
    found[loop] = element % size;
    element /= size;
  }
  return found;
}

std::optional<DotShape> cuda::dotShapeOf(linalg::LinalgOp op) {
  SmallVector<int64_t> chosen = tileOf(op);
  if (chosen.size() != 6)
    return std::nullopt;
  return DotShape{chosen[0], chosen[1], chosen[2], chosen[3], chosen[4], chosen[5]};
}

std::optional<Dots> cuda::dotsOf(linalg::LinalgOp op, int64_t lanes) { return DotsFinder(op, lanes).find(); }
