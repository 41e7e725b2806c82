// RUN: tw-opt %s --tw-cpu-lower-vectors --split-input-file | FileCheck %s

// Rows are contiguous: one copy each.
// CHECK-LABEL: func @rows
// CHECK:         scf.for
// CHECK-NOT:     scf.for
// CHECK:           memref.copy {{.*}} : memref<32xf32, {{.*}}> to memref<32xf32, {{.*}}>
func.func @rows(%x: memref<8x32xf32, strided<[64, 1], offset: ?>>, %y: memref<8x32xf32>) {
  memref.copy %x, %y : memref<8x32xf32, strided<[64, 1], offset: ?>> to memref<8x32xf32>
  return
}

// -----

// Columns are not: element by element.
// CHECK-LABEL: func @columns
// CHECK:         scf.for
// CHECK:           memref.load
// CHECK:           memref.store
func.func @columns(%x: memref<?xf32, strided<[64], offset: ?>>, %y: memref<?xf32>) {
  memref.copy %x, %y : memref<?xf32, strided<[64], offset: ?>> to memref<?xf32>
  return
}

// -----

// Dense buffers are one copy as they are.
// CHECK-LABEL: func @dense
// CHECK-NEXT:    memref.copy
// CHECK-NEXT:    return
func.func @dense(%x: memref<?x8xf32>, %y: memref<?x8xf32>) {
  memref.copy %x, %y : memref<?x8xf32> to memref<?x8xf32>
  return
}
