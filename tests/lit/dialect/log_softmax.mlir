// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @log_softmax
// CHECK: tw.log_softmax %{{.*}} axis = 1 : tensor<?x4xf32>
func.func @log_softmax(%x: tensor<?x4xf32>) {
  %0 = tw.log_softmax %x axis = 1 : tensor<?x4xf32>
  return
}
