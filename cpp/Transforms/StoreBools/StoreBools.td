//===- StoreBools.td - Booleans in memory are bytes -------------*- tablegen -*-===//
#ifndef TILEWRIGHT_STOREBOOLS_TD
#define TILEWRIGHT_STOREBOOLS_TD

include "mlir/Pass/PassBase.td"

def StoreBoolsPass : Pass<"tw-store-bools", "::mlir::ModuleOp"> {
  let summary = "Stores each boolean as one byte";
  let description = [{
    Buffers of `i1` become buffers of `i8` that hold 0 or 1; what is loaded is compared with 0, what is stored is
    extended. Without it vectors of booleans would be packed bits in memory, unlike the scalars beside them.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
}

#endif // TILEWRIGHT_STOREBOOLS_TD
