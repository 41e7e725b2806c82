// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @sinh
// CHECK: tw.sinh %{{.*}} : tensor<?x4xf32>
func.func @sinh(%x: tensor<?x4xf32>) {
  %0 = tw.sinh %x : tensor<?x4xf32>
  return
}
