// RUN: tw-opt %s --pass-pipeline='builtin.module(tw-cpu-to-llvm,reconcile-unrealized-casts)' | FileCheck %s

// Kernels stay functions of their own; what our passes knew of an argument is gone, what LLVM knows stays; only the entries are visible.
// CHECK-LABEL: llvm.func internal @kernel_0
// CHECK-SAME:    llvm.noalias
// CHECK-NOT:     tw.name
// CHECK-SAME:    "noinline"
// CHECK-SAME:    ["target-cpu", "znver4"]
// CHECK-SAME:    ["prefer-vector-width", "512"]
// CHECK:         llvm.intr.memcpy
// CHECK-LABEL: llvm.func internal @kernel_1_body_0_entry(%{{.*}}: !llvm.ptr, %{{.*}}: i64, %{{.*}}: i64)
// CHECK-LABEL: llvm.func internal @kernel_1
// CHECK:         llvm.alloca
// CHECK:         llvm.mlir.addressof @kernel_1_body_0_entry
// CHECK:         llvm.call %{{.*}}(%{{.*}}) : !llvm.ptr, (!llvm.ptr, !llvm.ptr, !llvm.ptr, i64) -> ()
// CHECK-LABEL: llvm.func @tw_main
#target = #tw.target<kind = "cpu", cpu = "znver4", features = "+avx512f", facts = {vector_bits = 512 : i64}>
module attributes {tw.target = #target} {
  func.func private @kernel_0(%rt: !llvm.ptr {llvm.noalias, tw.name = "rt"}, %x: memref<8xf32>, %y: memref<8xf32>) attributes {tw.kernel} {
    memref.copy %x, %y : memref<8xf32> to memref<8xf32>
    return
  }
  func.func private @kernel_1_body_0(%rt: !llvm.ptr, %x: memref<8xf32>, %begin: index, %end: index) attributes {tw.body} {
    return
  }
  func.func private @kernel_1(%rt: !llvm.ptr, %x: memref<8xf32>, %n: index) attributes {tw.kernel} {
    rt.launch @kernel_1_body_0[%n] (%x : memref<8xf32>)
    return
  }
  func.func @tw_main(%rt: !llvm.ptr) -> i32 attributes {tw.entry} {
    %c0 = arith.constant 0 : i32
    return %c0 : i32
  }
}
