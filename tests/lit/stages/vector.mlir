// RUN: tw-opt %s --tw-verify-stage | FileCheck %s

// CHECK: vector.transfer_write
module attributes {tw.stage = "vector"} {
  func.func private @kernel_0(%d: tensor<4xf32>) -> tensor<4xf32> attributes {tw.kernel} {
    %c0 = arith.constant 0 : index
    %v = arith.constant dense<1.0> : vector<4xf32>
    %r = vector.transfer_write %v, %d[%c0] {in_bounds = [true]} : vector<4xf32>, tensor<4xf32>
    return %r : tensor<4xf32>
  }
}
