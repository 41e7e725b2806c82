// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @dim
// CHECK: tw.dim %{{.*}} axis = 0 : tensor<?x4xf32>
func.func @dim(%x: tensor<?x4xf32>) {
  %0 = tw.dim %x axis = 0 : tensor<?x4xf32>
  return
}
