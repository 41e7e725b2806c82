//===- MaterializeSlices.td - Write slices straight to where they go -*- tablegen -*-===//
#ifndef TW_TRANSFORMS_MATERIALIZESLICES_TD
#define TW_TRANSFORMS_MATERIALIZESLICES_TD

include "mlir/Pass/PassBase.td"

def MaterializeSlicesPass : Pass<"tw-materialize-slices", "::mlir::func::FuncOp"> {
  let summary = "Write slices straight to where they go";
  let description = [{
    Whatever moves data without computing (`tensor.pad`, `tensor.concat`, `tensor.insert_slice` of a computed value, slices with
    strides) becomes a computation that writes to a slice of its destination, so that the host function holds views only
    and fusion can let the producer write there itself.
  }];
  let options = [
    Option<"named", "named", "bool", /*default=*/"false",
           "Copy by `linalg.copy`, which canonicalisation keeps, instead of by a generic, which fuses">
  ];
  let dependentDialects = ["::mlir::func::FuncDialect", "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

#endif // TW_TRANSFORMS_MATERIALIZESLICES_TD
