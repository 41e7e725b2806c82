// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @trunc
// CHECK: tw.trunc %{{.*}} : tensor<?x4xf32>
func.func @trunc(%x: tensor<?x4xf32>) {
  %0 = tw.trunc %x : tensor<?x4xf32>
  return
}
