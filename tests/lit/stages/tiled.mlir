// RUN: tw-opt %s --tw-verify-stage | FileCheck %s

// CHECK: tw.config
module attributes {tw.stage = "tiled"} {
  func.func private @kernel_0(%d: tensor<4xf32>) -> tensor<4xf32> attributes {tw.kernel} {
    %c = arith.constant 1.0 : f32
    %r = linalg.fill {tw.config = #tw.config<workgroup = [], tile = [], lane = 0, vector = 4, unroll = 1, lowering = "vector">}
        ins(%c : f32) outs(%d : tensor<4xf32>) -> tensor<4xf32>
    return %r : tensor<4xf32>
  }
}
