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
#include "Analysis/Products.h"
#include "Analysis/StoredBytes.h"
#include "Transforms/Vectorize/Nest.h"

#include "TwRt/TwRtDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::vectorize;

/// More products than this are not worth their registers.
static constexpr size_t kMaxTerms = 3;
/// A group of fewer elements gains nothing.
static constexpr int64_t kMinGroup = 8;
/// So many inner products of four unsigned bytes with signed ones fit 32 bits.
static constexpr int64_t kMaxExactWords = (int64_t(1) << 31) / (4 * 255 * 128) - 1;

std::optional<Factoring> vectorize::factorGroups(const Nest &nest) {
  linalg::GenericOp op = nest.op;
  if (nest.laneIsReduction || nest.reductions.empty() || nest.combiners.size() != 1 || !nest.combiners.front())
    return std::nullopt;
  Value summand = summandOf(op);
  if (!summand)
    return std::nullopt;
  SmallVector<Product> products = expandProducts(summand);
  LoopsOf loopsOf(op);
  std::optional<llvm::SmallBitVector> inner = groupLoops(op, products, loopsOf);
  if (!inner || products.size() > kMaxTerms)
    return std::nullopt;
  Factoring result;
  for (unsigned loop : nest.reductions) {
    (inner->test(loop) ? result.inner : result.outer).push_back(loop);
    if (inner->test(loop))
      result.group *= nest.isStatic(loop) ? nest.sizes[loop] : 0;
  }
  int64_t elements = result.group;
  for (Product &product : products) {
    Term &term = result.terms.emplace_back();
    term.negative = product.negative;
    for (Value factor : product.factors)
      (loopsOf(factor).anyCommon(*inner) ? term.kept : term.factored).push_back(factor);
    // Inner products of words are exact, and so are their sums.
    if (term.kept.size() == 1 && result.group <= kMaxExactWords)
      if (auto conversion = term.kept.front().getDefiningOp<arith::SIToFPOp>())
        if (conversion.getIn().getDefiningOp<rt::GroupDotOp>()) {
          term.integer = conversion.getIn();
          elements = result.group * kWordBytes;
        }
    // A sum that no lane changes would be added up again for every vector of lanes.
    bool lanes = llvm::any_of(term.kept, [&](Value factor) { return loopsOf(factor).test(nest.lane); });
    if (!term.kept.empty() && !lanes)
      return std::nullopt;
  }
  return elements >= kMinGroup ? std::optional(std::move(result)) : std::nullopt;
}
