// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @slice
// CHECK: tw.slice %{{.*}}[%{{.*}}, 0] [1, 4] [1, 2] : tensor<?x8xf32> -> tensor<1x4xf32>
func.func @slice(%x: tensor<?x8xf32>, %i: index) {
  %0 = tw.slice %x[%i, 0] [1, 4] [1, 2] : tensor<?x8xf32> -> tensor<1x4xf32>
  return
}
