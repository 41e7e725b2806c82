//===- CarryBuffers.td - Loops carry values in fixed buffers ----*- tablegen -*-===//
#ifndef TILEWRIGHT_CARRYBUFFERS_TD
#define TILEWRIGHT_CARRYBUFFERS_TD

include "mlir/Pass/PassBase.td"

def CarryBuffersPass : Pass<"tw-carry-buffers"> {
  let summary = "Gives every carried buffer of a loop one fixed place";
  let description = [{
    A loop that yields a new buffer per iteration would need a new allocation per iteration. Each carried buffer gets one
    allocation before the loop instead; the yielded value is copied into it. Values updated in place are not touched:
    canonicalisation has already taken them out of the loop's arguments.

    ```mlir
    %r = scf.for ... iter_args(%a = %init) -> memref<4xf32> { ... scf.yield %b : memref<4xf32> }
    // becomes
    %c = memref.alloc() : memref<4xf32>
    memref.copy %init, %c
    scf.for ... { ... memref.copy %b, %c }
    ```
  }];
  let dependentDialects = ["::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect", "::mlir::arith::ArithDialect"];
}

#endif // TILEWRIGHT_CARRYBUFFERS_TD
