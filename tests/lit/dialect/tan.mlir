// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @tan
// CHECK: tw.tan %{{.*}} : tensor<?x4xf32>
func.func @tan(%x: tensor<?x4xf32>) {
  %0 = tw.tan %x : tensor<?x4xf32>
  return
}
