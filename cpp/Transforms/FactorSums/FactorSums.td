//===- FactorSums.td - Sums that all columns share are made once -*- tablegen -*-===//
#ifndef TW_TRANSFORMS_FACTORSUMS_TD
#define TW_TRANSFORMS_FACTORSUMS_TD

include "mlir/Pass/PassBase.td"

def FactorSumsPass : Pass<"tw-factor-sums", "::mlir::func::FuncOp"> {
  let summary = "Compute sums that all columns of a contraction share once";
  let description = [{
    A weight of a format with minimums is `s * q + m`, where scale and minimum belong to a group. Multiplied by an
    operand `x` and added up, the minimum meets nothing but the sum of `x` over the group, which is the same for every
    column. That sum becomes an operation of its own; what is left inside a group is `x * q`.

    The contraction adds the term at every step, so what it reads is the mean over the group: the vectoriser, which takes
    factors out of groups, multiplies it by their size.

    ```mlir
    acc[n] += x[g, k] * (s[n, g] * q[n, g, k] + m[n, g])
    // becomes
    mean[g] += x[g, k] * (1 / group)
    acc[n] += x[g, k] * s[n, g] * q[n, g, k] + mean[g] * m[n, g]
    ```
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::arith::ArithDialect"];
  let statistics = [Statistic<"numFactored", "factored", "sums that became operations of their own">];
}

#endif // TW_TRANSFORMS_FACTORSUMS_TD
