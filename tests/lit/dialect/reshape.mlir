// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @reshape
// CHECK: tw.reshape %{{.*}} sizes(%{{.*}}) : tensor<?x8xf32> -> tensor<?x2x4xf32>
func.func @reshape(%x: tensor<?x8xf32>, %n: index) {
  %0 = tw.reshape %x sizes(%n) : tensor<?x8xf32> -> tensor<?x2x4xf32>
  return
}
