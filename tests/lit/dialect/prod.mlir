// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @prod
// CHECK: tw.prod %{{.*}} dims = [0, 2] : tensor<2x?x4xf32> -> tensor<?xf32>
func.func @prod(%x: tensor<2x?x4xf32>) {
  %0 = tw.prod %x dims = [0, 2] : tensor<2x?x4xf32> -> tensor<?xf32>
  return
}
