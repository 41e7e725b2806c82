//===- OutputsToArguments.td - Returned buffers become arguments *- tablegen -*-===//
#ifndef TILEWRIGHT_OUTPUTSTOARGUMENTS_TD
#define TILEWRIGHT_OUTPUTSTOARGUMENTS_TD

include "mlir/Pass/PassBase.td"

def OutputsToArgumentsPass : Pass<"tw-outputs-to-arguments", "::mlir::ModuleOp"> {
  let summary = "Lets the caller own the outputs of host functions";
  let description = [{
    `@main` and `@load_K` get one trailing argument per output (`tw.output = k`) and return nothing. A dense allocation that
    is returned becomes that argument itself; a donated argument that is returned needs none. The function attribute
    `tw.alias` lists, output by output, the number of the donated argument that holds it, or -1. Anything else is copied.

    ```mlir
    func.func @main(%x: memref<4xf32>) -> memref<4xf32> { %a = memref.alloc() ... return %a }
    // becomes
    func.func @main(%x: memref<4xf32>, %out: memref<4xf32> {tw.output = 0}) attributes {tw.alias = array<i64: -1>}
    ```
  }];
  let dependentDialects = ["::mlir::memref::MemRefDialect", "::mlir::arith::ArithDialect"];
}

#endif // TILEWRIGHT_OUTPUTSTOARGUMENTS_TD
