// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @concat
// CHECK: tw.concat %{{.*}}, %{{.*}} axis = 0 : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x4xf32>
func.func @concat(%a: tensor<?x4xf32>, %b: tensor<2x4xf32>) {
  %0 = tw.concat %a, %b axis = 0 : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x4xf32>
  return
}
