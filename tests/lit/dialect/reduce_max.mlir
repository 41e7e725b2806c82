// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @reduce_max
// CHECK: tw.reduce_max %{{.*}} dims = [0, 2] : tensor<2x?x4xf32> -> tensor<?xf32>
func.func @reduce_max(%x: tensor<2x?x4xf32>) {
  %0 = tw.reduce_max %x dims = [0, 2] : tensor<2x?x4xf32> -> tensor<?xf32>
  return
}
