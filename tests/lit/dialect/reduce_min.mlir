// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @reduce_min
// CHECK: tw.reduce_min %{{.*}} dims = [0, 2] : tensor<2x?x4xf32> -> tensor<?xf32>
func.func @reduce_min(%x: tensor<2x?x4xf32>) {
  %0 = tw.reduce_min %x dims = [0, 2] : tensor<2x?x4xf32> -> tensor<?xf32>
  return
}
