// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @atanh
// CHECK: tw.atanh %{{.*}} : tensor<?x4xf32>
func.func @atanh(%x: tensor<?x4xf32>) {
  %0 = tw.atanh %x : tensor<?x4xf32>
  return
}
