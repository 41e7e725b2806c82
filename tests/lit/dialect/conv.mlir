// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @conv
// CHECK: tw.conv %{{.*}}, %{{.*}} strides = [2] dilations = [1] low = [1] high = [1] groups = 2 : tensor<?x4x8xf32>, tensor<6x2x3xf32> -> tensor<?x6x4xf32>
func.func @conv(%x: tensor<?x4x8xf32>, %w: tensor<6x2x3xf32>) {
  %0 = tw.conv %x, %w strides = [2] dilations = [1] low = [1] high = [1] groups = 2 : tensor<?x4x8xf32>, tensor<6x2x3xf32> -> tensor<?x6x4xf32>
  return
}

// CHECK-LABEL: func.func @conv_precision
// CHECK: tw.conv {{.*}} groups = 1 precision = "tf32" : tensor<?x4x8xf32>, tensor<6x4x3xf32> -> tensor<?x6x6xf32>
func.func @conv_precision(%x: tensor<?x4x8xf32>, %w: tensor<6x4x3xf32>) {
  %0 = tw.conv %x, %w strides = [1] dilations = [1] low = [0] high = [0] groups = 1 precision = "tf32" : tensor<?x4x8xf32>, tensor<6x4x3xf32> -> tensor<?x6x6xf32>
  return
}
