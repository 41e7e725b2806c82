// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @bitwise_not
// CHECK: tw.bitwise_not %{{.*}} : tensor<?x4xi32>
func.func @bitwise_not(%x: tensor<?x4xi32>) {
  %0 = tw.bitwise_not %x : tensor<?x4xi32>
  return
}
