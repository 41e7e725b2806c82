//===- ScaleProducts.td - Normalise what a product made ---------*- tablegen -*-===//
#ifndef TW_TRANSFORMS_SCALEPRODUCTS_TD
#define TW_TRANSFORMS_SCALEPRODUCTS_TD

include "mlir/Pass/PassBase.td"

def ScaleProductsPass : Pass<"tw-scale-products", "::mlir::func::FuncOp"> {
  let summary = "Normalise the result of a product instead of its weights";
  let description = [{
    A softmax ends in a multiplication of each weight by the reciprocal of its row's sum. Where a product follows that sums
    over the row (attention), the factor moves behind it: the result has fewer elements than there are weights. In the type
    of the program only: where weights are rounded to a shorter one, the formula stays as it is. Sums of weighted values are
    larger by the sum of the weights than the result, at most the number of terms, and overflow where it comes so near to the
    largest float.

    ```mlir
    dot(w * broadcast(reciprocal(sum(w))), v)
    // becomes
    dot(w, v) * broadcast(reciprocal(sum(w)))
    ```
  }];
  let statistics = [Statistic<"numMoved", "moved", "factors that moved behind a product">];
}

#endif // TW_TRANSFORMS_SCALEPRODUCTS_TD
