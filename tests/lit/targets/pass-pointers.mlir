// RUN: tw-opt %s --tw-cpu-pass-pointers --split-input-file --verify-diagnostics | FileCheck %s

// A static buffer is one pointer, an open size one index, an open stride one more; what does not cross stays as it was.
// CHECK-LABEL: func private @kernel_0
// CHECK-SAME:    (%[[RT:[a-z0-9]+]]: !llvm.ptr {tw.rt}, %[[X:[a-z0-9]+]]: !llvm.ptr {llvm.noalias}, %[[N:[a-z0-9]+]]: index,
// CHECK-SAME:     %[[Y:[a-z0-9]+]]: !llvm.ptr {llvm.noalias}, %[[K:[a-z0-9]+]]: index)
// CHECK-DAG:     %[[STATIC:.*]] = builtin.unrealized_conversion_cast %{{.*}} to memref<?x8xf32>
// CHECK-DAG:     %[[OPEN:.*]] = builtin.unrealized_conversion_cast %{{.*}} to memref<4xf32, strided<[?], offset: ?>>
// CHECK-NOT:     memref.dim
// CHECK:         memref.store %{{.*}}, %[[OPEN]]
// CHECK:         rt.launch @kernel_0_body_0[%[[N]]] (%[[X]], %[[N]], %[[N]] : !llvm.ptr, index, index)
func.func private @kernel_0(%rt: !llvm.ptr {tw.rt}, %x: memref<?x8xf32>, %y: memref<4xf32, strided<[?], offset: ?>>)
    attributes {tw.kernel} {
  %c0 = arith.constant 0 : index
  %n = memref.dim %x, %c0 : memref<?x8xf32>
  %v = memref.load %x[%c0, %c0] : memref<?x8xf32>
  memref.store %v, %y[%c0] : memref<4xf32, strided<[?], offset: ?>>
  rt.launch @kernel_0_body_0[%n] (%x, %n : memref<?x8xf32>, index)
  return
}
// CHECK-LABEL: func private @kernel_0_body_0
// CHECK-SAME:    (%{{.*}}: !llvm.ptr {tw.rt}, %{{.*}}: !llvm.ptr {llvm.noalias}, %{{.*}}: index, %{{.*}}: index, %{{.*}}: index, %{{.*}}: index)
func.func private @kernel_0_body_0(%rt: !llvm.ptr {tw.rt}, %x: memref<?x8xf32>, %n: index, %begin: index, %end: index)
    attributes {tw.body} {
  return
}

// A host function hands on pointers into its arena; the views themselves are gone. Its arguments may share memory.
// CHECK-LABEL: func private @main
// CHECK-SAME:    (%[[RT:[a-z0-9]+]]: !llvm.ptr {tw.rt}, %[[A:[a-z0-9]+]]: !llvm.ptr, %[[N:[a-z0-9]+]]: index, %[[ARENA:[a-z0-9]+]]: !llvm.ptr
// CHECK-DAG:     %[[SLOT:.*]] = llvm.getelementptr %[[ARENA]][64] : (!llvm.ptr) -> !llvm.ptr, i8
// CHECK-DAG:     %[[ODD:.*]] = llvm.getelementptr %[[SLOT]][1] : (!llvm.ptr) -> !llvm.ptr, f32
// CHECK-DAG:     %[[TWO:.*]] = arith.constant 2 : index
// CHECK-NOT:     memref
// CHECK:         call @kernel_0(%[[RT]], %[[A]], %[[N]], %[[ODD]], %[[TWO]])
func.func private @main(%rt: !llvm.ptr {tw.rt}, %a: memref<?x2x4xf32>, %arena: memref<?xi8> {tw.arena}) attributes {tw.host} {
  %c64 = arith.constant 64 : index
  %flat = memref.collapse_shape %a [[0], [1, 2]] : memref<?x2x4xf32> into memref<?x8xf32>
  %slot = memref.view %arena[%c64][] : memref<?xi8> to memref<8xf32>
  %odd = memref.subview %slot[1] [4] [2] : memref<8xf32> to memref<4xf32, strided<[2], offset: 1>>
  %open = memref.cast %odd : memref<4xf32, strided<[2], offset: 1>> to memref<4xf32, strided<[?], offset: ?>>
  call @kernel_0(%rt, %flat, %open) : (!llvm.ptr, memref<?x8xf32>, memref<4xf32, strided<[?], offset: ?>>) -> ()
  return
}

// A row that moves: the distance is computed from the strides; a pointer that its type places behind the start counts back.
// CHECK-LABEL: func private @kernel_1
// CHECK:         llvm.getelementptr %{{.*}}[%{{.*}}] : (!llvm.ptr, i64) -> !llvm.ptr, f32
func.func private @kernel_1(%rt: !llvm.ptr {tw.rt}, %x: memref<8xf32, strided<[1], offset: 3>>) attributes {tw.kernel} {
  %c0 = arith.constant 0 : index
  %v = memref.load %x[%c0] : memref<8xf32, strided<[1], offset: 3>>
  memref.store %v, %x[%c0] : memref<8xf32, strided<[1], offset: 3>>
  return
}
// CHECK-LABEL: func private @rows
// CHECK:         %[[DISTANCE:.*]] = arith.muli %{{.*}}, %{{.*}} : index
// CHECK:         arith.addi %[[DISTANCE]]
// CHECK:         %[[ROW:.*]] = llvm.getelementptr %{{.*}}[%{{.*}}] : (!llvm.ptr, i64) -> !llvm.ptr, f32
// CHECK:         call @kernel_2(%{{.*}}, %[[ROW]])
func.func private @rows(%rt: !llvm.ptr {tw.rt}, %x: memref<4x8xf32>, %i: index) attributes {tw.host} {
  %row = memref.subview %x[%i, 0] [1, 8] [1, 1] : memref<4x8xf32> to memref<8xf32, strided<[1], offset: ?>>
  call @kernel_2(%rt, %row) : (!llvm.ptr, memref<8xf32, strided<[1], offset: ?>>) -> ()
  return
}
func.func private @kernel_2(%rt: !llvm.ptr {tw.rt}, %x: memref<8xf32, strided<[1], offset: ?>>) attributes {tw.kernel} {
  return
}

// -----

// expected-error @below {{returns a buffer: outputs are arguments by now}}
func.func private @returns(%x: memref<4xf32>) -> memref<4xf32> {
  return %x : memref<4xf32>
}
