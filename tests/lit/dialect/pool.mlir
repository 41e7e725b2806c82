// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @pool
// CHECK: tw.pool %{{.*}} kind = "max" window = [2] strides = [2] dilations = [1] low = [0] high = [0] : tensor<?x3x8xf32> -> tensor<?x3x4xf32>
func.func @pool(%x: tensor<?x3x8xf32>) {
  %0 = tw.pool %x kind = "max" window = [2] strides = [2] dilations = [1] low = [0] high = [0] : tensor<?x3x8xf32> -> tensor<?x3x4xf32>
  return
}
