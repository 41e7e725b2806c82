// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @sin
// CHECK: tw.sin %{{.*}} : tensor<?x4xf32>
func.func @sin(%x: tensor<?x4xf32>) {
  %0 = tw.sin %x : tensor<?x4xf32>
  return
}
