// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @acos
// CHECK: tw.acos %{{.*}} : tensor<?x4xf32>
func.func @acos(%x: tensor<?x4xf32>) {
  %0 = tw.acos %x : tensor<?x4xf32>
  return
}
