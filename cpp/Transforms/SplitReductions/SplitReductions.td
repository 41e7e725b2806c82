//===- SplitReductions.td - Long reductions in two steps -*- tablegen -*-===//
#ifndef TW_TRANSFORMS_SPLITREDUCTIONS_TD
#define TW_TRANSFORMS_SPLITREDUCTIONS_TD

include "mlir/Pass/PassBase.td"

def SplitReductionsPass : Pass<"tw-split-reductions", "::mlir::func::FuncOp"> {
  let summary = "Split long reductions with few results into two steps";
  let description = [{
    A reduction with few results has no loop that could be spread over threads. Its outermost reduction loop is cut into
    chunks of about `chunk` elements; each chunk gives one partial result per result, and a second, short reduction
    combines them. What does not fill a chunk is reduced on its own and initialises the combination. Where chunks end
    depends on shapes and on `chunk` only, so the bits do not depend on the number of threads.

    The partial reduction is marked `tw.partial`: it is the root of a kernel of its own.

    ```mlir
    %s = generic [red] ins(%x : tensor<131072xf32>) outs(%zero : tensor<f32>)
    // becomes
    %y = tensor.expand_shape %x into tensor<2x65536xf32>
    %p = generic [par, red] ins(%y) outs(%zeros : tensor<2xf32>) {tw.partial}
    %s = generic [red] ins(%p : tensor<2xf32>) outs(%zero : tensor<f32>)
    ```
  }];
  let options = [
    Option<"chunk", "chunk", "int64_t", "65536", "elements that one partial result is computed from">,
    Option<"rows", "rows", "int64_t", "64", "so many results along memory rows are enough to be spread over threads">,
    Option<"columns", "columns", "int64_t", "8192", "the same for results that lie side by side in a row">,
    Option<"betweenProducts", "between-products", "bool", "true",
           "also where rows of one contraction are reduced on the way to another (the softmax of attention)">
  ];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect"];
  let statistics = [Statistic<"numSplit", "split", "reductions that were split">];
}

#endif // TW_TRANSFORMS_SPLITREDUCTIONS_TD
