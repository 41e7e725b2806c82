// RUN: tw-opt %s --verify-diagnostics --tw-verify-stage

module attributes {tw.stage = "traced"} {
  func.func @main(%x: f32) -> f32 {
    // expected-error @+1 {{'arith.addf' op is illegal at stage 'traced': only func, tw, constants and arith on index}}
    %r = arith.addf %x, %x : f32
    return %r : f32
  }
}
