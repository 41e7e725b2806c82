// RUN: tw-opt %s --tw-verify-stage | FileCheck %s

// CHECK: tw.add
module attributes {tw.stage = "tensor"} {
  func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
    %r = tw.add %x, %x : tensor<4xf32>
    return %r : tensor<4xf32>
  }
}
