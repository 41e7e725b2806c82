// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @argmax
// CHECK: tw.argmax %{{.*}} axis = 1 : tensor<?x4xf16> -> tensor<?xi64>
func.func @argmax(%x: tensor<?x4xf16>) {
  %0 = tw.argmax %x axis = 1 : tensor<?x4xf16> -> tensor<?xi64>
  return
}
