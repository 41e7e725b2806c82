//===- ScaleProducts.cpp - Normalise what a product made ------------------===//
//
// In:  stage tensor: a product whose left operand is weights times the reciprocal of their sums.
// Out: the product of the weights, times the reciprocals.
// Here, where formulas are still whole: below, sums and products are loops whose bodies would have to be compared.
//===----------------------------------------------------------------------===//
#include "Transforms/ScaleProducts/ScaleProducts.h"

#include "Tw/OpSupport.h"
#include "Tw/TwDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/PatternMatch.h"

namespace tilewright {
#define GEN_PASS_DEF_SCALEPRODUCTSPASS
#include "Transforms/ScaleProducts/ScaleProducts.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

/// Weights that are normalised by their own sums over what a product sums up.
struct Normalised {
  Value weights;
  tw::BroadcastOp factors;
};

std::optional<Normalised> matchNormalised(tw::DotGeneralOp product) {
  auto mul = product.getLhs().getDefiningOp<tw::MulOp>();
  if (!mul || !mul->hasOneUse())
    return std::nullopt;
  for (auto [weights, factor] : {std::pair(mul.getLhs(), mul.getRhs()), std::pair(mul.getRhs(), mul.getLhs())}) {
    auto broadcast = factor.getDefiningOp<tw::BroadcastOp>();
    auto reciprocal = broadcast ? broadcast.getInput().getDefiningOp<tw::ReciprocalOp>() : tw::ReciprocalOp();
    auto sum = reciprocal ? reciprocal.getInput().getDefiningOp<tw::SumOp>() : tw::SumOp();
    // Exponentials of what lies below a maximum are at most 1; sums of other weights might overflow before they are scaled.
    if (!sum || sum.getInput() != weights || !weights.getDefiningOp<tw::ExpOp>())
      continue;
    SmallVector<int64_t> summed(sum.getDims()), contracted(product.getLhsContract());
    llvm::sort(summed);
    llvm::sort(contracted);
    bool isPerRow = llvm::none_of(broadcast.getDims(), [&](int64_t dim) { return llvm::is_contained(summed, dim); });
    if (summed == contracted && isPerRow)
      return Normalised{weights, broadcast};
  }
  return std::nullopt;
}

/// Whether the result of a product has fewer columns than terms were summed up for each of its elements.
bool hasFewerColumns(tw::DotGeneralOp product) {
  auto rhs = cast<RankedTensorType>(product.getRhs().getType());
  int64_t columns = 1, terms = 1;
  for (int64_t dim = 0; dim < rhs.getRank(); ++dim) {
    bool isTerm = llvm::is_contained(product.getRhsContract(), dim);
    if (llvm::is_contained(product.getRhsBatch(), dim))
      continue;
    // An unknown number of terms is taken for many, an unknown number of columns for too many.
    if (rhs.isDynamicDim(dim) && !isTerm)
      return false;
    int64_t size = rhs.isDynamicDim(dim) ? int64_t{1} << 16 : rhs.getDimSize(dim);
    (isTerm ? terms : columns) *= size;
  }
  return columns < terms;
}

/// The dimensions of a product's result that come from dimensions of its left operand, in increasing order; none if they
/// do not keep their order.
std::optional<SmallVector<int64_t>> resultDims(tw::DotGeneralOp product, ArrayRef<int64_t> lhsDims) {
  SmallVector<int64_t> order(product.getLhsBatch());
  for (int64_t dim = 0, rank = cast<RankedTensorType>(product.getLhs().getType()).getRank(); dim < rank; ++dim)
    if (!llvm::is_contained(order, dim) && !llvm::is_contained(product.getLhsContract(), dim))
      order.push_back(dim);
  SmallVector<int64_t> dims =
      llvm::map_to_vector(lhsDims, [&](int64_t dim) -> int64_t { return llvm::find(order, dim) - order.begin(); });
  return llvm::is_sorted(dims) ? std::optional(dims) : std::nullopt;
}

struct ScaleProducts : tilewright::impl::ScaleProductsPassBase<ScaleProducts> {
  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    SmallVector<tw::DotGeneralOp> products;
    getOperation().walk([&](tw::DotGeneralOp op) { products.push_back(op); });
    for (tw::DotGeneralOp product : products)
      if (std::optional<Normalised> found = matchNormalised(product))
        move(rewriter, product, *found);
  }

  void move(RewriterBase &rewriter, tw::DotGeneralOp product, Normalised found) {
    auto type = cast<RankedTensorType>(product.getType());
    std::optional<SmallVector<int64_t>> dims = resultDims(product, found.factors.getDims());
    if (!dims || !hasFewerColumns(product) || type.getElementType() != getElementTypeOrSelf(found.factors.getType()))
      return;
    rewriter.setInsertionPoint(product);
    Operation *normalising = product.getLhs().getDefiningOp();
    auto plain = cast<tw::DotGeneralOp>(rewriter.clone(*product));
    plain.getLhsMutable().set(found.weights);
    Location loc = normalising->getLoc();
    auto [shape, sizes] = tw::common::splitSizes(tw::common::dimSizes(rewriter, loc, plain.getResult()));
    Value factors = tw::BroadcastOp::create(rewriter, loc, RankedTensorType::get(shape, type.getElementType()),
                                            found.factors.getInput(), sizes, rewriter.getDenseI64ArrayAttr(*dims));
    rewriter.replaceOpWithNewOp<tw::MulOp>(product, plain.getResult(), factors);
    rewriter.eraseOp(normalising);
    if (found.factors->use_empty())
      rewriter.eraseOp(found.factors);
    ++numMoved;
  }
};

} // namespace
