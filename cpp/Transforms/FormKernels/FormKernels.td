//===- FormKernels.td - Grouping and outlining ------------------*- tablegen -*-===//
#ifndef TW_TRANSFORMS_FORMKERNELS_TD
#define TW_TRANSFORMS_FORMKERNELS_TD

include "mlir/Pass/PassBase.td"

def FormKernelsPass : Pass<"tw-form-kernels", "::mlir::ModuleOp"> {
  let summary = "Group computations into kernels and outline them";
  let description = [{
    Every computation of the host functions ends in exactly one kernel: a private function in destination-passing style.
    A kernel has one root; producers join it where each of their elements is still computed once when the root's
    remaining parallel loops (`tw.parallel`) are tiled. Kernels that are equal but for their locations are shared.

    An operation that stayed alone although its only consumer was a candidate says why in a remark.
  }];
  let dependentDialects = ["::mlir::func::FuncDialect", "::mlir::tensor::TensorDialect"];
  let statistics = [
    Statistic<"kernels", "kernels", "Kernels after sharing">,
    Statistic<"calls", "calls", "Kernel calls">
  ];
}

#endif // TW_TRANSFORMS_FORMKERNELS_TD
