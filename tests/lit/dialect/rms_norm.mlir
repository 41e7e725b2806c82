// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @rms_norm
// CHECK: tw.rms_norm %{{.*}}, %{{.*}} {eps = 9.9999999999999995E-7 : f64} : tensor<?x4xf32>, tensor<4xf32>
func.func @rms_norm(%x: tensor<?x4xf32>, %w: tensor<4xf32>) {
  %0 = tw.rms_norm %x, %w {eps = 9.9999999999999995E-7 : f64} : tensor<?x4xf32>, tensor<4xf32>
  return
}
