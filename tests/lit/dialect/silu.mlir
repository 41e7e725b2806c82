// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @silu
// CHECK: tw.silu %{{.*}} : tensor<?x4xf32>
func.func @silu(%x: tensor<?x4xf32>) {
  %0 = tw.silu %x : tensor<?x4xf32>
  return
}
