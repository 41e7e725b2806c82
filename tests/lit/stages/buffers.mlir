// RUN: tw-opt %s --tw-verify-stage | FileCheck %s

// CHECK: vector.store
module attributes {tw.stage = "buffers"} {
  func.func private @kernel_0(%d: memref<4xf32>) attributes {tw.kernel} {
    %c0 = arith.constant 0 : index
    %v = arith.constant dense<1.0> : vector<4xf32>
    vector.store %v, %d[%c0] : memref<4xf32>, vector<4xf32>
    return
  }
}
