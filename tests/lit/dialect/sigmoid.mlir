// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @sigmoid
// CHECK: tw.sigmoid %{{.*}} : tensor<?x4xf32>
func.func @sigmoid(%x: tensor<?x4xf32>) {
  %0 = tw.sigmoid %x : tensor<?x4xf32>
  return
}
