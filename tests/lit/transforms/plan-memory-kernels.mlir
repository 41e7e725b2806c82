// RUN: tw-opt %s --tw-plan-memory | FileCheck %s

// Small buffers live on the stack, large ones on the scratch stack; both are taken once per parallel iteration.
// CHECK-LABEL: func private @kernel_0
// CHECK:         scf.forall
// CHECK-DAG:       memref.alloca() {{.*}}: memref<64xf32>
// CHECK-DAG:       %[[LARGE:.*]] = rt.scratch_push
// CHECK:           scf.for
// CHECK-NOT:         rt.scratch
// CHECK:           rt.scratch_pop %[[LARGE]]
func.func private @use(memref<64xf32>, memref<100000xf32>)
func.func private @kernel_0(%n: index) attributes {tw.kernel} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.forall (%i) in (%n) {
    scf.for %j = %c0 to %n step %c1 {
      %small = memref.alloc() : memref<64xf32>
      %large = memref.alloc() : memref<100000xf32>
      func.call @use(%small, %large) : (memref<64xf32>, memref<100000xf32>) -> ()
    }
  }
  return
}
