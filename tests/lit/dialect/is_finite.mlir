// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @is_finite
// CHECK: tw.is_finite %{{.*}} : tensor<?x4xf32>
func.func @is_finite(%x: tensor<?x4xf32>) {
  %0 = tw.is_finite %x : tensor<?x4xf32>
  return
}
