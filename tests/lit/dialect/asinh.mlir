// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @asinh
// CHECK: tw.asinh %{{.*}} : tensor<?x4xf32>
func.func @asinh(%x: tensor<?x4xf32>) {
  %0 = tw.asinh %x : tensor<?x4xf32>
  return
}
