// RUN: tw-opt %s --tw-verify-stage | FileCheck %s

// CHECK: tw.add
module attributes {tw.stage = "traced"} {
  func.func @main(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
    %c1 = arith.constant 1 : index
    %n = arith.addi %c1, %c1 : index
    %r = tw.add %x, %x : tensor<?x4xf32>
    return %r : tensor<?x4xf32>
  }
}
