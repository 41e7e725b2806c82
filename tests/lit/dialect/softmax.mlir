// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @softmax
// CHECK: tw.softmax %{{.*}} axis = 1 : tensor<?x4xf32>
func.func @softmax(%x: tensor<?x4xf32>) {
  %0 = tw.softmax %x axis = 1 : tensor<?x4xf32>
  return
}
