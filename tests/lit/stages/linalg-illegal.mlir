// RUN: tw-opt %s --verify-diagnostics --tw-verify-stage

module attributes {tw.stage = "linalg"} {
  func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
    // expected-error @+1 {{'tw.add' op is illegal at stage 'linalg': tw operations are lowered by now}}
    %r = tw.add %x, %x : tensor<4xf32>
    return %r : tensor<4xf32>
  }
}
