// RUN: tw-opt %s --verify-diagnostics --tw-verify-stage

module attributes {tw.stage = "target"} {
  func.func private @kernel_0(%d: memref<4xf32>) attributes {tw.kernel} {
    %v = arith.constant 1.0 : f32
    // expected-error @+1 {{is illegal at stage 'target': parallel loops are launches by now}}
    scf.forall (%i) in (4) {
      memref.store %v, %d[%i] : memref<4xf32>
    }
    return
  }
}
