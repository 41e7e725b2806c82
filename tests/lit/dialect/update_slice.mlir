// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @update_slice
// CHECK: tw.update_slice %{{.*}}, %{{.*}}[%{{.*}}, 0] : tensor<?x8xf32>, tensor<1x8xf32>
func.func @update_slice(%x: tensor<?x8xf32>, %u: tensor<1x8xf32>, %i: index) {
  %0 = tw.update_slice %x, %u[%i, 0] : tensor<?x8xf32>, tensor<1x8xf32>
  return
}
