// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @atan
// CHECK: tw.atan %{{.*}} : tensor<?x4xf32>
func.func @atan(%x: tensor<?x4xf32>) {
  %0 = tw.atan %x : tensor<?x4xf32>
  return
}
