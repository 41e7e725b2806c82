// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @transpose
// CHECK: tw.transpose %{{.*}} permutation = [1, 0] : tensor<?x4xf32> -> tensor<4x?xf32>
func.func @transpose(%x: tensor<?x4xf32>) {
  %0 = tw.transpose %x permutation = [1, 0] : tensor<?x4xf32> -> tensor<4x?xf32>
  return
}
