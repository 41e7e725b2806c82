// RUN: tw-opt %s --tw-to-linalg | FileCheck %s

// The loops run over rows, groups, halves and elements, so that a contraction can take the expression in.
// CHECK-LABEL: func.func @q4_1
// CHECK-SAME: tensor<?x2x16xi8>
// CHECK: linalg.generic {{.*}} outs({{.*}} : tensor<?x2x2x16xf32>)
// CHECK: arith.extui {{.*}} i8 to i32
// CHECK: arith.shrui
// CHECK: arith.mulf
// CHECK: arith.addf
// CHECK: tensor.collapse_shape {{.*}} into tensor<?x64xf32>
func.func @q4_1(%s: tensor<?x2x16xui8>, %d: tensor<?x2xf16>, %m: tensor<?x2xf16>) -> tensor<?x64xf32> {
  %0 = tw.dequantize %s, %d, %m format = <name = "q4_1", group = 32>
    : (tensor<?x2x16xui8>, tensor<?x2xf16>, tensor<?x2xf16>) -> tensor<?x64xf32>
  return %0 : tensor<?x64xf32>
}

// CHECK-LABEL: func.func @int8
// CHECK: linalg.generic {{.*}} outs({{.*}} : tensor<8x4x16xf32>)
// CHECK: arith.extsi
func.func @int8(%s: tensor<8x64xi8>, %d: tensor<8x4xf32>) -> tensor<8x64xf32> {
  %0 = tw.dequantize %s, %d format = <name = "int8", group = 16> : (tensor<8x64xi8>, tensor<8x4xf32>) -> tensor<8x64xf32>
  return %0 : tensor<8x64xf32>
}
