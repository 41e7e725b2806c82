// RUN: tw-opt %s --verify-diagnostics --tw-verify-stage

module attributes {tw.stage = "tiled"} {
  func.func private @kernel_0(%d: tensor<4xf32>) -> tensor<4xf32> attributes {tw.kernel} {
    %c = arith.constant 1.0 : f32
    // expected-error @+1 {{is illegal at stage 'tiled': a computation without a config}}
    %r = linalg.fill ins(%c : f32) outs(%d : tensor<4xf32>) -> tensor<4xf32>
    return %r : tensor<4xf32>
  }
}
