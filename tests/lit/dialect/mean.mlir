// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @mean
// CHECK: tw.mean %{{.*}} dims = [0, 2] : tensor<2x?x4xf32> -> tensor<?xf32>
func.func @mean(%x: tensor<2x?x4xf32>) {
  %0 = tw.mean %x dims = [0, 2] : tensor<2x?x4xf32> -> tensor<?xf32>
  return
}
