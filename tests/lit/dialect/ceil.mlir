// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @ceil
// CHECK: tw.ceil %{{.*}} : tensor<?x4xf32>
func.func @ceil(%x: tensor<?x4xf32>) {
  %0 = tw.ceil %x : tensor<?x4xf32>
  return
}
