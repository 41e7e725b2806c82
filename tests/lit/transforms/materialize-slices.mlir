// RUN: tw-opt %s --pass-pipeline='builtin.module(func.func(tw-materialize-slices))' | FileCheck %s

// A concatenation becomes copies into slices of the result.
// CHECK-LABEL: func.func @concat
// CHECK:         %[[E:.*]] = tensor.empty() : tensor<5x4xf32>
// CHECK:         %[[W:.*]] = tensor.extract_slice %[[E]][0, 0] [2, 4] [1, 1]
// CHECK:         %[[C:.*]] = linalg.generic {{.*}} outs(%[[W]]
// CHECK:         tensor.insert_slice %[[C]] into %[[E]][0, 0] [2, 4] [1, 1]
func.func @concat(%a: tensor<2x4xf32>, %b: tensor<3x4xf32>) -> tensor<5x4xf32> {
  %r = tensor.concat dim(0) %a, %b : (tensor<2x4xf32>, tensor<3x4xf32>) -> tensor<5x4xf32>
  return %r : tensor<5x4xf32>
}

// A slice with a stride is copied, and the copy is pinned to scalar loops.
// CHECK-LABEL: func.func @strided
// CHECK:         tensor.extract_slice %{{.*}}[0] [4] [2]
// CHECK:         linalg.generic {{.*}}tw.lowering = "loops"
func.func @strided(%a: tensor<8xf32>) -> tensor<4xf32> {
  %r = tensor.extract_slice %a[0] [4] [2] : tensor<8xf32> to tensor<4xf32>
  return %r : tensor<4xf32>
}

// Must not fire: a dense slice is a view.
// CHECK-LABEL: func.func @view
// CHECK-NOT:     linalg.generic
func.func @view(%a: tensor<8xf32>) -> tensor<4xf32> {
  %r = tensor.extract_slice %a[2] [4] [1] : tensor<8xf32> to tensor<4xf32>
  return %r : tensor<4xf32>
}
