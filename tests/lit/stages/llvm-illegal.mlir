// RUN: tw-opt %s --verify-diagnostics --tw-verify-stage

module attributes {tw.stage = "llvm"} {
  llvm.func @f(%x: f32) -> f32 {
    // expected-error @+1 {{'arith.addf' op is illegal at stage 'llvm': only the llvm dialect stands here}}
    %r = arith.addf %x, %x : f32
    llvm.return %r : f32
  }
}
