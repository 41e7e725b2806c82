// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @square
// CHECK: tw.square %{{.*}} : tensor<?x4xf32>
func.func @square(%x: tensor<?x4xf32>) {
  %0 = tw.square %x : tensor<?x4xf32>
  return
}
