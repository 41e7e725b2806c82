//===- Peel.td - Split tile loops into whole tiles and a remainder -*- tablegen -*-===//
#ifndef TW_TRANSFORMS_PEEL_TD
#define TW_TRANSFORMS_PEEL_TD

include "mlir/Pass/PassBase.td"

def PeelPass : Pass<"tw-peel", "::mlir::func::FuncOp"> {
  let summary = "Split tile loops into whole tiles and a remainder";
  let description = [{
    After it, tiles in the main loops have static sizes, so their code needs no masks.
  }];
  let dependentDialects = ["::mlir::scf::SCFDialect"];
}

#endif // TW_TRANSFORMS_PEEL_TD
