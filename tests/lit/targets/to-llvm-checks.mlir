// RUN: tw-opt %s --pass-pipeline='builtin.module(tw-cpu-to-llvm,reconcile-unrealized-casts)' | FileCheck %s

// A failed check of the host function returns its code; one in a kernel is reported, and the kernel goes on.
// CHECK-LABEL: llvm.func internal @main
// CHECK:         llvm.cond_br %{{.*}}, ^[[GOOD:.*]], ^[[BAD:.*]]
// CHECK:       ^[[BAD]]:
// CHECK:         %[[CODE:.*]] = llvm.mlir.constant(2 : i32)
// CHECK:         llvm.call %{{.*}}(%{{.*}}, %[[CODE]], %{{.*}})
// CHECK:         llvm.return %[[CODE]]
// CHECK:       ^[[GOOD]]:
// CHECK-LABEL: llvm.func internal @kernel_0
// CHECK:         llvm.cond_br %{{.*}}, ^[[NEXT:.*]], ^[[BAD:.*]]
// CHECK:       ^[[BAD]]:
// CHECK:         llvm.mlir.constant(1 : i32)
// CHECK:         llvm.br ^[[NEXT]]
func.func @main(%rt: !llvm.ptr, %ok: i1) -> i32 attributes {tw.host} {
  cf.assert %ok, "must hold" {tw.location = 0 : i32}
  %c0 = arith.constant 0 : i32
  return %c0 : i32
}
func.func private @kernel_0(%rt: !llvm.ptr, %ok: i1) attributes {tw.kernel} {
  cf.assert %ok, "index" {tw.location = 1 : i32, tw.code = 1 : i32}
  return
}
