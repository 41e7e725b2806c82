//===- Normalize.td - Write composites out ----------------------*- tablegen -*-===//
#ifndef TW_TRANSFORMS_NORMALIZE_TD
#define TW_TRANSFORMS_NORMALIZE_TD

include "mlir/Pass/PassBase.td"

def NormalizePass : Pass<"tw-normalize", "::mlir::ModuleOp"> {
  let summary = "Write composites out and simplify";
  let description = [{
    Composites (softmax, norms, attention, …) become the formulas that they stand for, except those that the target keeps;
    then the folds and canonical forms of the dialect apply. Sizes are traced back to arguments.

    Example: `tw.mean` becomes `tw.sum` and `tw.div`.
  }];
  let options = [
    ListOption<"keep", "keep", "std::string", "Operations that stay composite, without the prefix `tw.`">
  ];
  let statistics = [Statistic<"numDecomposed", "decomposed", "Composites written out">];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
}

#endif // TW_TRANSFORMS_NORMALIZE_TD
