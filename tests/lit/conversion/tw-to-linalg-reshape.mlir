// RUN: tw-opt %s --tw-to-linalg | FileCheck %s

// Rows stay apart: their sizes come from the operand.
// CHECK-LABEL: func.func @split_heads
// CHECK-NOT: collapse_shape
// CHECK: tensor.expand_shape {{.*}} {{\[\[}}0], [1], [2, 3]] output_shape [%{{.*}}, %{{.*}}, 9, 64]
func.func @split_heads(%x: tensor<?x?x576xf32>) -> tensor<?x?x9x64xf32> {
  %b = tw.dim %x axis = 0 : tensor<?x?x576xf32>
  %s = tw.dim %x axis = 1 : tensor<?x?x576xf32>
  %0 = tw.silu %x : tensor<?x?x576xf32>
  %1 = tw.reshape %0 sizes(%b, %s) : tensor<?x?x576xf32> -> tensor<?x?x9x64xf32>
  return %1 : tensor<?x?x9x64xf32>
}

// Nothing is known about the sizes: all elements in one dimension first.
// CHECK-LABEL: func.func @unrelated
// CHECK: tensor.collapse_shape {{.*}} into tensor<?xf32>
// CHECK: tensor.expand_shape {{.*}} into tensor<?x?xf32>
func.func @unrelated(%x: tensor<?x?xf32>, %m: index, %n: index) -> tensor<?x?xf32> {
  %0 = tw.reshape %x sizes(%m, %n) : tensor<?x?xf32> -> tensor<?x?xf32>
  return %0 : tensor<?x?xf32>
}

// CHECK-LABEL: func.func @no_common_cut
// CHECK: tensor.collapse_shape {{.*}} tensor<2x6xf32> into tensor<12xf32>
// CHECK: tensor.expand_shape {{.*}} tensor<12xf32> into tensor<3x4xf32>
func.func @no_common_cut(%x: tensor<2x6xf32>) -> tensor<3x4xf32> {
  %0 = tw.reshape %x : tensor<2x6xf32> -> tensor<3x4xf32>
  return %0 : tensor<3x4xf32>
}

// CHECK-LABEL: func.func @scalar
// CHECK: tensor.collapse_shape %{{.*}} [] : tensor<1x1xf32> into tensor<f32>
func.func @scalar(%x: tensor<1x1xf32>) -> tensor<f32> {
  %0 = tw.reshape %x : tensor<1x1xf32> -> tensor<f32>
  return %0 : tensor<f32>
}
