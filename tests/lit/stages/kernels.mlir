// RUN: tw-opt %s --tw-verify-stage | FileCheck %s

// CHECK: call @kernel_0
module attributes {tw.stage = "kernels"} {
  func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> attributes {tw.host} {
    %e = tensor.empty() : tensor<4xf32>
    %r = func.call @kernel_0(%e) : (tensor<4xf32>) -> tensor<4xf32>
    return %r : tensor<4xf32>
  }
  func.func private @kernel_0(%d: tensor<4xf32>) -> tensor<4xf32> attributes {tw.kernel} {
    %c = arith.constant 1.0 : f32
    %r = linalg.fill ins(%c : f32) outs(%d : tensor<4xf32>) -> tensor<4xf32>
    return %r : tensor<4xf32>
  }
}
