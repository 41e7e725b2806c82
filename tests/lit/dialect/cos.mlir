// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @cos
// CHECK: tw.cos %{{.*}} : tensor<?x4xf32>
func.func @cos(%x: tensor<?x4xf32>) {
  %0 = tw.cos %x : tensor<?x4xf32>
  return
}
