// RUN: tw-opt %s --tw-plan-memory --canonicalize --cse --split-input-file | FileCheck %s

// Three buffers in a chain: the third one reuses the place of the first.
// CHECK-LABEL: func @main
// CHECK-SAME:    %[[ARENA:[a-z0-9]+]]: memref<?xi8> {tw.arena}) attributes {tw.host, tw.scratch = 128 : i64}
// CHECK:         %[[FIRST:.*]] = memref.view %[[ARENA]][%c0][] : memref<?xi8> to memref<16xf32>
// CHECK:         call @k(%{{.*}}, %[[FIRST]])
// CHECK:         %[[SECOND:.*]] = memref.view %[[ARENA]][%c64][] : memref<?xi8> to memref<16xf32>
// CHECK:         call @k(%[[FIRST]], %[[SECOND]])
// CHECK:         call @k(%[[SECOND]], %[[FIRST]])
// CHECK-LABEL: func @shapes
// CHECK:         %c128 = arith.constant 128 : index
// CHECK:         return %c128
func.func private @k(memref<16xf32>, memref<16xf32>)
func.func @main(%x: memref<16xf32>) attributes {tw.host} {
  %a = memref.alloc() : memref<16xf32>
  call @k(%x, %a) : (memref<16xf32>, memref<16xf32>) -> ()
  %b = memref.alloc() : memref<16xf32>
  call @k(%a, %b) : (memref<16xf32>, memref<16xf32>) -> ()
  %c = memref.alloc() : memref<16xf32>
  call @k(%b, %c) : (memref<16xf32>, memref<16xf32>) -> ()
  return
}
func.func @shapes(%x: memref<16xf32>) attributes {tw.shapes} {
  return
}

// -----

// Equal symbolic sizes share a slot, whichever argument names the symbol; the shape function counts the bytes.
// CHECK-LABEL: func @main
// CHECK-NOT:     tw.scratch
// CHECK:         %[[N:.*]] = memref.dim
// CHECK:         memref.view %{{.*}}[%c0][%[[N]]] : memref<?xi8> to memref<?xf32>
// CHECK:         memref.view %{{.*}}[%c0][%{{.*}}] : memref<?xi8> to memref<?xf32>
// CHECK-LABEL: func @shapes
// CHECK-SAME:    -> (index, index)
// CHECK:         %[[BYTES:.*]] = arith.muli %{{.*}}, %c4
// CHECK:         %[[PADDED:.*]] = arith.addi %[[BYTES]], %c63
// CHECK:         %[[ALL:.*]] = arith.andi %[[PADDED]], %c-64
// CHECK:         return %{{.*}}, %[[ALL]]
func.func private @use(memref<?xf32>)
func.func @main(%x: memref<?xf32> {tw.dims = ["n"]}, %y: memref<?xf32> {tw.dims = ["n"]}) attributes {tw.host} {
  %c0 = arith.constant 0 : index
  %n = memref.dim %x, %c0 : memref<?xf32>
  %a = memref.alloc(%n) : memref<?xf32>
  call @use(%a) : (memref<?xf32>) -> ()
  %m = memref.dim %y, %c0 : memref<?xf32>
  %b = memref.alloc(%m) : memref<?xf32>
  call @use(%b) : (memref<?xf32>) -> ()
  return
}
func.func @shapes(%x: memref<?xf32> {tw.dims = ["n"]}, %y: memref<?xf32> {tw.dims = ["n"]}) -> index attributes {tw.shapes} {
  %c0 = arith.constant 0 : index
  %n = memref.dim %x, %c0 : memref<?xf32>
  return %n : index
}

// -----

// A collapsed dim that comes from one dim has that dim's size: the buffer lies in the arena.
// CHECK-LABEL: func @main
// CHECK-NOT:     rt.scratch_push
// CHECK:         return
func.func private @k(memref<?x8x4xf32>, memref<?x32xf32>)
func.func @main(%x: memref<?x8x4xf32> {tw.dims = ["n", "", ""]}) attributes {tw.host} {
  %c0 = arith.constant 0 : index
  %flat = memref.collapse_shape %x [[0], [1, 2]] : memref<?x8x4xf32> into memref<?x32xf32>
  %n = memref.dim %flat, %c0 : memref<?x32xf32>
  %a = memref.alloc(%n) : memref<?x32xf32>
  call @k(%x, %a) : (memref<?x8x4xf32>, memref<?x32xf32>) -> ()
  return
}
func.func @shapes(%x: memref<?x8x4xf32> {tw.dims = ["n", "", ""]}) attributes {tw.shapes} {
  return
}
