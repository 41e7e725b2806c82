// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @is_inf
// CHECK: tw.is_inf %{{.*}} : tensor<?x4xf32>
func.func @is_inf(%x: tensor<?x4xf32>) {
  %0 = tw.is_inf %x : tensor<?x4xf32>
  return
}
