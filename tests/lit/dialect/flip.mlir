// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @flip
// CHECK: tw.flip %{{.*}} axes = [0, 1] : tensor<?x4xf32>
func.func @flip(%x: tensor<?x4xf32>) {
  %0 = tw.flip %x axes = [0, 1] : tensor<?x4xf32>
  return
}
