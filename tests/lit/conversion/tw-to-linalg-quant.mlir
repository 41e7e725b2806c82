// RUN: tw-opt %s --tw-to-linalg | FileCheck %s

// The storage of five bits is read twice: a byte of two nibbles, and the byte that holds the fifth bits of eight weights.
// CHECK-DAG: #[[$LOW:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d3 * 8 + d4)>
// CHECK-DAG: #[[$HIGH:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2 * 2 + d3 + 16)>

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

// CHECK-LABEL: func.func @q5_0
// CHECK: linalg.generic {indexing_maps = [#[[$LOW]], #{{.*}}, #[[$HIGH]], #{{.*}}]
// CHECK-SAME: ins(%[[S:.*]], %{{.*}}, %[[S]] : tensor<?x2x20xi8>, {{.*}}) outs({{.*}} : tensor<?x2x2x2x8xf32>)
// CHECK: arith.muli %{{.*}}, %c16_i32
// CHECK: arith.subi %{{.*}}, %c16_i32
func.func @q5_0(%s: tensor<?x2x20xui8>, %d: tensor<?x2xf16>) -> tensor<?x64xf32> {
  %0 = tw.dequantize %s, %d format = <name = "q5_0", group = 32> : (tensor<?x2x20xui8>, tensor<?x2xf16>) -> tensor<?x64xf32>
  return %0 : tensor<?x64xf32>
}

// Scales of q6_k are viewed as the loops run: 128 weights, nibble, half, group.
// CHECK-LABEL: func.func @q6_k
// CHECK: tensor.expand_shape %{{.*}} {{\[\[}}0], [1, 2, 3, 4]] output_shape [4, 2, 2, 2, 2]
// CHECK: linalg.generic {{.*}} outs({{.*}} : tensor<4x2x2x2x2x16xf32>)
func.func @q6_k(%s: tensor<4x2x96xui8>, %d: tensor<4x16xf32>) -> tensor<4x256xf32> {
  %0 = tw.dequantize %s, %d format = <name = "q6_k", group = 16> : (tensor<4x2x96xui8>, tensor<4x16xf32>) -> tensor<4x256xf32>
  return %0 : tensor<4x256xf32>
}
