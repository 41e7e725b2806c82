// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @pad
// CHECK: tw.pad %{{.*}}, %{{.*}} low = [0, 1] high = [0, 2] : tensor<?x4xf32>, tensor<f32> -> tensor<?x7xf32>
func.func @pad(%x: tensor<?x4xf32>, %v: tensor<f32>) {
  %0 = tw.pad %x, %v low = [0, 1] high = [0, 2] : tensor<?x4xf32>, tensor<f32> -> tensor<?x7xf32>
  return
}
