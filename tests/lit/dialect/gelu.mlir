// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @gelu
// CHECK: tw.gelu %{{.*}} {approximate = "tanh"} : tensor<4xf32>
func.func @gelu(%x: tensor<4xf32>) {
  %0 = tw.gelu %x {approximate = "tanh"} : tensor<4xf32>
  %1 = tw.gelu %x : tensor<4xf32>
  return
}
