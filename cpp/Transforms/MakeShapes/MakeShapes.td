//===- MakeShapes.td - Derive output sizes from input sizes -*- tablegen -*-===//
#ifndef TW_TRANSFORMS_MAKESHAPES_TD
#define TW_TRANSFORMS_MAKESHAPES_TD

include "mlir/Pass/PassBase.td"

def MakeShapesPass : Pass<"tw-make-shapes", "::mlir::ModuleOp"> {
  let summary = "Derive output sizes from input sizes";
  let description = [{
    Adds `@shapes` beside `@main`: it takes the same arguments, reads only their sizes, and returns the sizes of all results,
    result after result. The runtime asks it before a call, because outputs are arguments of compiled code.

    Fails where a size depends on data.
  }];
  let dependentDialects = ["::mlir::tensor::TensorDialect", "::mlir::memref::MemRefDialect"];
}

#endif // TW_TRANSFORMS_MAKESHAPES_TD
