// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @floor
// CHECK: tw.floor %{{.*}} : tensor<?x4xf32>
func.func @floor(%x: tensor<?x4xf32>) {
  %0 = tw.floor %x : tensor<?x4xf32>
  return
}
