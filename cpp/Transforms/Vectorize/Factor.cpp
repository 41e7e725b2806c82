//===- Factor.cpp - What a group of a sum has in common ---------------------===//
//
// In:  a nest that adds up products over several loops, some of whose factors do not change along the inner ones.
// Out: the loops of a group, and per product the factors that stay inside and those that the group's sum is
//      multiplied by.
// A weight of a quantisation format is an integer times the scale of its group, so this takes one multiplication per
// weight to one per group:
//
//   acc += x[g, k] * (s[g] * float(q[g, k]))   ->   acc += s[g] * sum_k x[g, k] * float(q[g, k])
//===----------------------------------------------------------------------===//
#include "Transforms/Vectorize/Nest.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::vectorize;

namespace {

/// More products than this are not worth their registers.
constexpr size_t kMaxTerms = 2;
/// A group of fewer elements gains nothing.
constexpr int64_t kMinGroup = 8;

/// The loops that each value of a body changes along.
class LoopsOf {
public:
  explicit LoopsOf(linalg::GenericOp op) : op(op) {}

  const llvm::SmallBitVector &operator()(Value value) {
    auto [it, isNew] = known.try_emplace(value, op.getNumLoops());
    if (!isNew)
      return it->second;
    llvm::SmallBitVector loops(op.getNumLoops());
    if (auto arg = dyn_cast<BlockArgument>(value); arg && arg.getOwner() == op.getBody()) {
      AffineMap map = op.getMatchingIndexingMap(&op->getOpOperand(arg.getArgNumber()));
      for (unsigned loop = 0; loop < op.getNumLoops(); ++loop)
        loops[loop] = map.isFunctionOfDim(loop);
    } else if (Operation *def = value.getDefiningOp(); def && def->getBlock() == op.getBody()) {
      if (auto index = dyn_cast<linalg::IndexOp>(def))
        loops.set(index.getDim());
      for (Value operand : def->getOperands())
        loops |= (*this)(operand);
    }
    return known[value] = loops;
  }

private:
  linalg::GenericOp op;
  DenseMap<Value, llvm::SmallBitVector> known;
};

using Product = SmallVector<Value>;
struct SignedProduct {
  Product factors;
  bool negative = false;
};

/// `value` as a sum of products.
SmallVector<SignedProduct> expand(Value value) {
  Operation *def = value.getDefiningOp();
  if (isa_and_nonnull<arith::AddFOp, arith::SubFOp>(def)) {
    SmallVector<SignedProduct> sum = expand(def->getOperand(0));
    for (SignedProduct &term : expand(def->getOperand(1)))
      sum.push_back({term.factors, term.negative != isa<arith::SubFOp>(def)});
    return sum;
  }
  if (isa_and_nonnull<arith::MulFOp>(def)) {
    SmallVector<SignedProduct> product;
    for (const SignedProduct &lhs : expand(def->getOperand(0)))
      for (const SignedProduct &rhs : expand(def->getOperand(1))) {
        product.push_back({lhs.factors, lhs.negative != rhs.negative});
        llvm::append_range(product.back().factors, rhs.factors);
      }
    return product;
  }
  return {{{value}, false}};
}

} // namespace

std::optional<Factoring> vectorize::factorGroups(const Nest &nest) {
  auto add = dyn_cast_or_null<arith::AddFOp>(nest.combiners.size() == 1 ? nest.combiners.front() : nullptr);
  if (!add || nest.laneIsReduction || nest.reductions.empty())
    return std::nullopt;
  linalg::GenericOp op = nest.op;
  Value summand = add.getLhs() == op.getRegionOutputArgs().front() ? add.getRhs() : add.getLhs();
  SmallVector<SignedProduct> products = expand(summand);
  // Only what was stored as integers: elsewhere the order of the user's products is kept.
  auto isStored = [](Value factor) {
    return isa_and_nonnull<arith::SIToFPOp, arith::UIToFPOp>(factor.getDefiningOp());
  };
  bool readsStored = llvm::any_of(products, [&](const SignedProduct &p) { return llvm::any_of(p.factors, isStored); });
  if (!readsStored || products.size() > kMaxTerms)
    return std::nullopt;

  LoopsOf loopsOf(op);
  llvm::SmallBitVector reductions(op.getNumLoops()), outer(op.getNumLoops());
  for (unsigned loop : nest.reductions)
    reductions.set(loop);
  auto along = [&](Value factor) {
    llvm::SmallBitVector loops = loopsOf(factor);
    return loops &= reductions;
  };
  bool found = false;
  for (const SignedProduct &product : products)
    for (Value factor : product.factors)
      if (llvm::SmallBitVector loops = along(factor); loops != reductions) {
        outer |= loops;
        found = true;
      }
  Factoring result;
  int64_t group = 1;
  for (unsigned loop : nest.reductions) {
    (outer[loop] ? result.outer : result.inner).push_back(loop);
    if (!outer[loop])
      group *= nest.isStatic(loop) ? nest.sizes[loop] : 0;
  }
  if (!found || group < kMinGroup)
    return std::nullopt;
  result.group = group;
  for (SignedProduct &product : products) {
    Term &term = result.terms.emplace_back();
    term.negative = product.negative;
    for (Value factor : product.factors)
      (along(factor).test(outer) ? term.kept : term.factored).push_back(factor);
    // A sum that no lane changes would be added up again for every vector of lanes.
    bool lanes = llvm::any_of(term.kept, [&](Value factor) { return loopsOf(factor).test(nest.lane); });
    if (!term.kept.empty() && !lanes)
      return std::nullopt;
  }
  return result;
}
