// RUN: tw-opt %s --tw-plan-memory --canonicalize --split-input-file | FileCheck %s

// What a loop reads in every iteration must not share memory with what the loop's body writes.
// CHECK-LABEL: func @main
// CHECK-SAME:    tw.scratch = 128 : i64
func.func private @k(memref<16xf32>, memref<16xf32>)
func.func @main(%x: memref<16xf32>, %out: memref<16xf32>, %n: index) attributes {tw.host} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %a = memref.alloc() : memref<16xf32>
  call @k(%x, %a) : (memref<16xf32>, memref<16xf32>) -> ()
  scf.for %i = %c0 to %n step %c1 {
    func.call @k(%a, %out) : (memref<16xf32>, memref<16xf32>) -> ()
    %b = memref.alloc() : memref<16xf32>
    func.call @k(%out, %b) : (memref<16xf32>, memref<16xf32>) -> ()
  }
  return
}
func.func @shapes() attributes {tw.shapes} {
  return
}

// -----

// A size that depends on data is nothing that a shape function can know: scratch memory, given back at the block's end.
// CHECK-LABEL: func @main
// CHECK-SAME:    tw.scratch = 0 : i64
// CHECK:         %[[MEMORY:.*]] = rt.scratch_push
// CHECK:         call @use
// CHECK:         rt.scratch_pop %[[MEMORY]]
// CHECK-NEXT:    return
func.func private @use(memref<?xf32>)
func.func @main(%x: memref<index>) attributes {tw.host} {
  %n = memref.load %x[] : memref<index>
  %a = memref.alloc(%n) : memref<?xf32>
  call @use(%a) : (memref<?xf32>) -> ()
  return
}
func.func @shapes(%x: memref<index>) attributes {tw.shapes} {
  return
}
