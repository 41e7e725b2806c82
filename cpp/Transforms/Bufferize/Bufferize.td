//===- Bufferize.td - Tensors become buffers --------------------*- tablegen -*-===//
#ifndef TILEWRIGHT_BUFFERIZE_TD
#define TILEWRIGHT_BUFFERIZE_TD

include "mlir/Pass/PassBase.td"

def BufferizePass : Pass<"tw-bufferize", "::mlir::ModuleOp"> {
  let summary = "Turns every tensor into a row-major buffer";
  let description = [{
    One-shot bufferisation across functions. Arguments of `@main`, `@load_K` and shape functions are read-only unless they
    are donated (`tw.donate`); destinations of kernels are written in place. Their results are those destinations, which
    `drop-equivalent-buffer-results` removes once loops that update in place are folded.

    ```mlir
    %r = call @kernel_0(%x, %empty) : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
    // becomes
    %r = call @kernel_0(%x, %alloc) : (memref<8xf32>, memref<8xf32>) -> memref<8xf32>
    ```
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::bufferization::BufferizationDialect",
                           "::mlir::memref::MemRefDialect"];
}

#endif // TILEWRIGHT_BUFFERIZE_TD
