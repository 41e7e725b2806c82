// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @round
// CHECK: tw.round %{{.*}} : tensor<?x4xf32>
func.func @round(%x: tensor<?x4xf32>) {
  %0 = tw.round %x : tensor<?x4xf32>
  return
}
