// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @cumsum
// CHECK: tw.cumsum %{{.*}} axis = 1 : tensor<?x4xf32>
func.func @cumsum(%x: tensor<?x4xf32>) {
  %0 = tw.cumsum %x axis = 1 : tensor<?x4xf32>
  return
}
