//===- ExpandFloat8.td - Conversions of 8-bit floats in software -*- tablegen -*-===//
#ifndef TW_TRANSFORMS_EXPANDFLOAT8_TD
#define TW_TRANSFORMS_EXPANDFLOAT8_TD

include "mlir/Pass/PassBase.td"

def ExpandFloat8Pass : Pass<"tw-expand-float8"> {
  let summary = "Turns conversions of 8-bit floats into integer arithmetic";
  let description = [{
    `arith.extf` from, and `arith.truncf` to, `f8E4M3FN` and `f8E5M2` become a dozen operations on bits, of scalars and of
    vectors, which any processor has. They are rounded to nearest even (`f64` to `f32` before). What is too large becomes
    infinity in `f8E5M2`, which has one, and NaN in `f8E4M3FN`, which has none.

    ```mlir
    %y = arith.extf %x : f8E5M2 to f32
    // becomes
    %bits = arith.bitcast %x : f8E5M2 to i8
    ...
    %y = arith.bitcast %wide : i32 to f32
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
}

#endif // TW_TRANSFORMS_EXPANDFLOAT8_TD
