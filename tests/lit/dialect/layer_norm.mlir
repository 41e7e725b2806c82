// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @layer_norm
// CHECK: tw.layer_norm %{{.*}} weight %{{.*}} : tensor<4xf32> bias %{{.*}} : tensor<4xf32> {eps = 9.9999999999999995E-7 : f64} : tensor<?x4xf32>
func.func @layer_norm(%x: tensor<?x4xf32>, %w: tensor<4xf32>) {
  %0 = tw.layer_norm %x weight %w : tensor<4xf32> bias %w : tensor<4xf32> {eps = 9.9999999999999995E-7 : f64} : tensor<?x4xf32>
  %1 = tw.layer_norm %x bias %w : tensor<4xf32> : tensor<?x4xf32>
  return
}
