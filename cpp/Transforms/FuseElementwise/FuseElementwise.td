//===- FuseElementwise.td - Fuse elementwise chains into their consumers -*- tablegen -*-===//
#ifndef TW_TRANSFORMS_FUSEELEMENTWISE_TD
#define TW_TRANSFORMS_FUSEELEMENTWISE_TD

include "mlir/Pass/PassBase.td"

def FuseElementwisePass : Pass<"tw-fuse-elementwise", "::mlir::func::FuncOp"> {
  let summary = "Fuse elementwise chains into their consumers";
  let description = [{
    Elementwise producers join elementwise and reducing consumers; broadcasts and transpositions become indexing maps.
    Nothing but copies and dequantisation joins the body of a contraction, where it would be computed once per tile:
    dequantisation only where few rows read a weight (statically at most `rows`), otherwise it is marked as the panel
    producer of the contraction. What one instruction makes of one tensor is made again by each of its consumers instead of
    being stored. Reshapes move to where they cost nothing.
  }];
  let options = [
    Option<"rows", "rows", "int64_t", "4",
           "Rows that may read a weight before it is cheaper to dequantise it once into a panel">
  ];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect", "::mlir::affine::AffineDialect"];
}

#endif // TW_TRANSFORMS_FUSEELEMENTWISE_TD
