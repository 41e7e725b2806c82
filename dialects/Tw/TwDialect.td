//===- TwDialect.td - The tensor dialect of Tilewright ----------*- tablegen -*-===//
#ifndef TW_DIALECT_TD
#define TW_DIALECT_TD

include "mlir/IR/OpBase.td"

def Tw_Dialect : Dialect {
  let name = "tw";
  let summary = "Tensor programs as the user wrote them";
  let description = [{
    `tw` says *what* is computed: operations on ranked tensors with explicit broadcasting, and nothing about targets,
    tiles or memory. Every operation enters the lower stages through one of three doors: structured (a perfect loop
    nest), composite (a formula over other `tw` operations) or tiled (kept until it is tiled).
  }];
  let cppNamespace = "::tilewright::tw";
  let useDefaultAttributePrinterParser = 1;
  let hasConstantMaterializer = 1;
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

#endif // TW_DIALECT_TD
