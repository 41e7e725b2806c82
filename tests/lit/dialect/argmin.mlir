// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @argmin
// CHECK: tw.argmin %{{.*}} axis = 1 : tensor<?x4xf16> -> tensor<?xi64>
func.func @argmin(%x: tensor<?x4xf16>) {
  %0 = tw.argmin %x axis = 1 : tensor<?x4xf16> -> tensor<?xi64>
  return
}
