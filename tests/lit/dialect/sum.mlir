// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @sum
// CHECK: tw.sum %{{.*}} dims = [0, 2] : tensor<2x?x4xf32> -> tensor<?xf32>
func.func @sum(%x: tensor<2x?x4xf32>) {
  %0 = tw.sum %x dims = [0, 2] : tensor<2x?x4xf32> -> tensor<?xf32>
  return
}
