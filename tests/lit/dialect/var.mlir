// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @var
// CHECK: tw.var %{{.*}} dims = [0, 2] {correction = 1.000000e+00 : f64} : tensor<2x?x4xf32> -> tensor<?xf32>
func.func @var(%x: tensor<2x?x4xf32>) {
  %0 = tw.var %x dims = [0, 2] {correction = 1.000000e+00 : f64} : tensor<2x?x4xf32> -> tensor<?xf32>
  return
}
