// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @tanh
// CHECK: tw.tanh %{{.*}} : tensor<?x4xf32>
func.func @tanh(%x: tensor<?x4xf32>) {
  %0 = tw.tanh %x : tensor<?x4xf32>
  return
}
