//===- PinSizes.td - Make sizes of one possible value static ----*- tablegen -*-===//
#ifndef TW_TRANSFORMS_PINSIZES_TD
#define TW_TRANSFORMS_PINSIZES_TD

include "mlir/Pass/PassBase.td"

def PinSizesPass : Pass<"tw-pin-sizes", "::mlir::ModuleOp"> {
  let summary = "Make sizes of one possible value static";
  let description = [{
    A symbol with `min` equal to `max` has one possible value. The arguments that name it take that size in their types, and
    canonicalisation carries it through the program to the results. This is how a variant of a program for certain sizes is
    made: its symbols are pinned, and nothing else about the module differs.

    Example: with `tw.dim_symbol @n {min = 7, max = 7}`, an argument `tensor<?x64xf32> {tw.dims = ["n", ""]}` becomes
    `tensor<7x64xf32>`.
  }];
  let statistics = [Statistic<"numPinned", "pinned", "Sizes of arguments made static">];
  let dependentDialects = ["::mlir::func::FuncDialect", "::mlir::tensor::TensorDialect"];
}

#endif // TW_TRANSFORMS_PINSIZES_TD
