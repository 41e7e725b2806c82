// RUN: tw-opt %s --tw-cpu-threads --canonicalize --split-input-file | FileCheck %s

// The body walks a range of the linear index and takes it apart; views are made inside, buffers are captured.
// CHECK-LABEL: func private @kernel_0_body_0
// CHECK-SAME:    (%{{.*}}: !llvm.ptr {tw.rt}, %[[X:[a-z0-9]+]]: memref<?x64xf32>, %[[BEGIN:[a-z0-9]+]]: index, %[[END:[a-z0-9]+]]: index)
// CHECK:         scf.for %[[I:.*]] = %[[BEGIN]] to %[[END]]
// CHECK-DAG:       arith.remsi %[[I]], %c2
// CHECK-DAG:       arith.divsi %[[I]], %c2
// CHECK:           memref.subview %[[X]]
// CHECK-LABEL: func private @kernel_0
// CHECK:         %[[ROWS:.*]] = arith.ceildivsi %{{.*}}, %c8
// CHECK:         %[[ALL:.*]] = arith.muli %[[ROWS]], %c2
// CHECK:         rt.launch @kernel_0_body_0[%[[ALL]]] (%{{.*}} : memref<?x64xf32>)
// CHECK-LABEL: func @main
// CHECK-SAME:    (%[[RT:[a-z0-9]+]]: !llvm.ptr {tw.rt}
// CHECK:         call @kernel_0(%[[RT]],
func.func private @use(memref<?x32xf32, strided<[64, 1], offset: ?>>)
func.func private @kernel_0(%x: memref<?x64xf32>) attributes {tw.kernel} {
  %c0 = arith.constant 0 : index
  %n = memref.dim %x, %c0 : memref<?x64xf32>
  scf.forall (%i, %j) = (0, 0) to (%n, 64) step (8, 32) {
    %rows = affine.min affine_map<(d0)[s0] -> (8, s0 - d0)>(%i)[%n]
    %tile = memref.subview %x[%i, %j] [%rows, 32] [1, 1] : memref<?x64xf32> to memref<?x32xf32, strided<[64, 1], offset: ?>>
    func.call @use(%tile) : (memref<?x32xf32, strided<[64, 1], offset: ?>>) -> ()
  }
  return
}
func.func @main(%x: memref<?x64xf32>) attributes {tw.host} {
  call @kernel_0(%x) : (memref<?x64xf32>) -> ()
  return
}

// -----

// A loop that runs once, and one inside a parallel loop, stay where they are; stack memory moves to the entry.
// CHECK-LABEL: func private @kernel_0_body_0
// CHECK:         memref.alloca
// CHECK:         scf.for
// CHECK:           scf.for
// CHECK-LABEL: func private @kernel_0
// CHECK-NOT:     scf.for
// CHECK:         call @once
// CHECK:         rt.launch
func.func private @once(index)
func.func private @use(memref<4xf32>, index)
func.func private @kernel_0(%n: index) attributes {tw.kernel} {
  scf.forall (%i) = (0) to (5) step (8) {
    func.call @once(%i) : (index) -> ()
  }
  scf.forall (%i) in (%n) {
    %a = memref.alloca() : memref<4xf32>
    scf.forall (%j) in (%n) {
      func.call @use(%a, %j) : (memref<4xf32>, index) -> ()
    }
  }
  return
}
