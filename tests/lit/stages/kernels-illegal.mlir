// RUN: tw-opt %s --verify-diagnostics --tw-verify-stage

module attributes {tw.stage = "kernels"} {
  func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> attributes {tw.host} {
    %c = arith.constant 1.0 : f32
    // expected-error @+1 {{is illegal at stage 'kernels': the host function computes nothing}}
    %r = linalg.fill ins(%c : f32) outs(%x : tensor<4xf32>) -> tensor<4xf32>
    return %r : tensor<4xf32>
  }
}
