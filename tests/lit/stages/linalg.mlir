// RUN: tw-opt %s --tw-verify-stage | FileCheck %s

// CHECK: linalg.fill
module attributes {tw.stage = "linalg"} {
  func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
    %c = arith.constant 1.0 : f32
    %r = linalg.fill ins(%c : f32) outs(%x : tensor<4xf32>) -> tensor<4xf32>
    return %r : tensor<4xf32>
  }
}
