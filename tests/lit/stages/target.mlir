// RUN: tw-opt %s --tw-verify-stage | FileCheck %s

// CHECK: scf.for
module attributes {tw.stage = "target"} {
  func.func private @kernel_0(%d: memref<4xf32>) attributes {tw.kernel} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c4 = arith.constant 4 : index
    %v = arith.constant 1.0 : f32
    scf.for %i = %c0 to %c4 step %c1 {
      memref.store %v, %d[%i] : memref<4xf32>
    }
    return
  }
}
