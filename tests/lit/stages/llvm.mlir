// RUN: tw-opt %s --tw-verify-stage | FileCheck %s

// CHECK: llvm.fadd
module attributes {tw.stage = "llvm"} {
  llvm.func @f(%x: f32) -> f32 {
    %r = llvm.fadd %x, %x : f32
    llvm.return %r : f32
  }
}
