// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @attention
// CHECK: tw.attention %{{.*}}, %{{.*}}, %{{.*}} {causal = true, scale = 1.250000e-01 : f64} : tensor<1x4x?x64xf32>, tensor<1x2x?x64xf32>, tensor<1x2x?x64xf32> -> tensor<1x4x?x64xf32>
func.func @attention(%q: tensor<1x4x?x64xf32>, %k: tensor<1x2x?x64xf32>, %m: tensor<1x1x?x?xf32>) {
  %0 = tw.attention %q, %k, %k {causal = true, scale = 1.250000e-01 : f64} : tensor<1x4x?x64xf32>, tensor<1x2x?x64xf32>, tensor<1x2x?x64xf32> -> tensor<1x4x?x64xf32>
  %1 = tw.attention %q, %k, %k mask %m : tensor<1x1x?x?xf32> {scale = 1.0 : f64} : tensor<1x4x?x64xf32>, tensor<1x2x?x64xf32>, tensor<1x2x?x64xf32> -> tensor<1x4x?x64xf32>
  return
}
