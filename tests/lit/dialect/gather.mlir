// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @gather
// CHECK: tw.gather %{{.*}}, %{{.*}} axis = 0 {mode = "wrap"} : tensor<?x4xf32>, tensor<5x2xi64> -> tensor<5x2x4xf32>
func.func @gather(%x: tensor<?x4xf32>, %i: tensor<5x2xi64>) {
  %0 = tw.gather %x, %i axis = 0 {mode = "wrap"} : tensor<?x4xf32>, tensor<5x2xi64> -> tensor<5x2x4xf32>
  return
}
