// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @scatter
// CHECK: tw.scatter %{{.*}}, %{{.*}}, %{{.*}} axis = 0 kind = "add" : tensor<?x4xf32>, tensor<5xi64>, tensor<5x4xf32>
func.func @scatter(%x: tensor<?x4xf32>, %i: tensor<5xi64>, %u: tensor<5x4xf32>) {
  %0 = tw.scatter %x, %i, %u axis = 0 kind = "add" : tensor<?x4xf32>, tensor<5xi64>, tensor<5x4xf32>
  return
}
