//===- TwToLinalg.td - Lower the tensor dialect to linalg -------*- tablegen -*-===//
#ifndef TW_CONVERSION_TWTOLINALG_TD
#define TW_CONVERSION_TWTOLINALG_TD

include "mlir/Pass/PassBase.td"

def TwToLinalgPass : Pass<"tw-to-linalg", "::mlir::ModuleOp"> {
  let summary = "Lower the tensor dialect to linalg on tensors";
  let description = [{
    Every structured operation becomes one `linalg.generic` by one pattern; operations that move elements become `tensor`
    operations, control flow becomes `scf`. Unsigned integers become signless ones everywhere, signatures included: the
    bodies have chosen the right arithmetic. Loops that must run in order carry `tw.lowering = "loops"`.

    Example: `tw.add %a, %b : tensor<?xf32>` becomes a `linalg.generic` with body `arith.addf`.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
                           "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect"];
}

#endif // TW_CONVERSION_TWTOLINALG_TD
