// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @cumprod
// CHECK: tw.cumprod %{{.*}} axis = 1 : tensor<?x4xf32>
func.func @cumprod(%x: tensor<?x4xf32>) {
  %0 = tw.cumprod %x axis = 1 : tensor<?x4xf32>
  return
}
