// RUN: tw-opt %s --tw-normalize --tw-to-linalg | FileCheck %s

// CHECK-DAG: #[[$LHS:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>
// CHECK-DAG: #[[$RHS:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d2, d3)>
// CHECK-DAG: #[[$OUT:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>

// One loop nest: batch, rows, columns, contraction; nothing is transposed first.
// CHECK-LABEL: func.func @batched
// CHECK-NOT: tensor.expand_shape
// CHECK: linalg.generic {indexing_maps = [#[[$LHS]], #[[$RHS]], #[[$OUT]]], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
// CHECK: arith.mulf {{.*}} fastmath<contract> : f32
// CHECK: arith.addf {{.*}} fastmath<reassoc,contract> : f32
func.func @batched(%a: tensor<2x?x8xbf16>, %b: tensor<2x4x8xbf16>) -> tensor<2x?x4xf32> {
  %0 = tw.dot_general %a, %b lhs_batch = [0] rhs_batch = [0] lhs_contract = [2] rhs_contract = [2]
    : tensor<2x?x8xbf16>, tensor<2x4x8xbf16> -> tensor<2x?x4xf32>
  return %0 : tensor<2x?x4xf32>
}

// CHECK-LABEL: func.func @integers
// CHECK: arith.extsi {{.*}} i8 to i32
// CHECK: arith.addi {{.*}} : i32
func.func @integers(%a: tensor<2x8xi8>, %b: tensor<8x4xi8>) -> tensor<2x4xi32> {
  %0 = tw.dot_general %a, %b lhs_contract = [1] rhs_contract = [0] : tensor<2x8xi8>, tensor<8x4xi8> -> tensor<2x4xi32>
  return %0 : tensor<2x4xi32>
}

// Padding is written out; groups become a loop of their own.
// CHECK-LABEL: func.func @conv
// CHECK: tensor.pad
// CHECK: tensor.expand_shape
// CHECK: linalg.generic {{.*}} ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction"]
// CHECK: tensor.collapse_shape {{.*}} tensor<?x2x3x4xf32> into tensor<?x6x4xf32>
func.func @conv(%x: tensor<?x4x8xf32>, %w: tensor<6x2x3xf32>) -> tensor<?x6x4xf32> {
  %0 = tw.conv %x, %w strides = [2] dilations = [1] low = [1] high = [1] groups = 2
    : tensor<?x4x8xf32>, tensor<6x2x3xf32> -> tensor<?x6x4xf32>
  return %0 : tensor<?x6x4xf32>
}

// CHECK-LABEL: func.func @pool
// CHECK: linalg.generic {{.*}} ["parallel", "parallel", "parallel", "reduction"]
// CHECK: arith.maximumf
func.func @pool(%x: tensor<?x4x8xf32>) -> tensor<?x4x4xf32> {
  %0 = tw.pool %x kind = "max" window = [2] strides = [2] dilations = [1] low = [0] high = [0]
    : tensor<?x4x8xf32> -> tensor<?x4x4xf32>
  return %0 : tensor<?x4x4xf32>
}

// What factors may be rounded to is a mark of their product, which stays with the formula.
// CHECK-LABEL: func.func @precision
// CHECK: arith.mulf {{.*}} fastmath<contract> {tw.precision = "tf32"} : f32
// CHECK: linalg.generic
// CHECK: arith.mulf {{.*}} fastmath<contract> {tw.precision = "tf32"} : f32
func.func @precision(%a: tensor<2x8xf32>, %b: tensor<8x4xf32>, %x: tensor<?x4x8xf32>, %w: tensor<6x4x3xf32>) -> (tensor<2x4xf32>, tensor<?x6x8xf32>) {
  %0 = tw.dot_general %a, %b lhs_contract = [1] rhs_contract = [0] precision = "tf32"
    : tensor<2x8xf32>, tensor<8x4xf32> -> tensor<2x4xf32>
  %1 = tw.conv %x, %w strides = [1] dilations = [1] low = [1] high = [1] groups = 1 precision = "tf32"
    : tensor<?x4x8xf32>, tensor<6x4x3xf32> -> tensor<?x6x8xf32>
  return %0, %1 : tensor<2x4xf32>, tensor<?x6x8xf32>
}
