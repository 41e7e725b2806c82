// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @broadcast
// CHECK: tw.broadcast %{{.*}} sizes(%{{.*}}) dims = [1] : tensor<4xf32> -> tensor<?x4xf32>
func.func @broadcast(%x: tensor<4xf32>, %n: index) {
  %0 = tw.broadcast %x sizes(%n) dims = [1] : tensor<4xf32> -> tensor<?x4xf32>
  return
}
