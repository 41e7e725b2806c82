// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @sign
// CHECK: tw.sign %{{.*}} : tensor<?x4xf32>
// CHECK: tw.sign %{{.*}} : tensor<3xui8>
func.func @sign(%x: tensor<?x4xf32>, %u: tensor<3xui8>) {
  %0 = tw.sign %x : tensor<?x4xf32>
  %1 = tw.sign %u : tensor<3xui8>
  return
}
