// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @abs
// CHECK: tw.abs %{{.*}} : tensor<?x4xf32>
// CHECK: tw.abs %{{.*}} : tensor<3xui8>
func.func @abs(%x: tensor<?x4xf32>, %u: tensor<3xui8>) {
  %0 = tw.abs %x : tensor<?x4xf32>
  %1 = tw.abs %u : tensor<3xui8>
  return
}
