// RUN: tw-opt %s --tw-store-bools --split-input-file | FileCheck %s

// CHECK-LABEL: func @vectors
// CHECK-SAME:    %[[X:[a-z0-9]+]]: memref<16xi8>, %[[OUT:[a-z0-9]+]]: memref<16xi8>
// CHECK:         %[[BYTES:.*]] = vector.transfer_read %[[X]]{{.*}} : memref<16xi8>, vector<16xi8>
// CHECK:         %[[V:.*]] = arith.cmpi ne, %[[BYTES]]
// CHECK:         %[[W:.*]] = arith.extui %[[V]] : vector<16xi1> to vector<16xi8>
// CHECK:         vector.transfer_write %[[W]], %[[OUT]]
func.func @vectors(%x: memref<16xi1>, %out: memref<16xi1>) {
  %c0 = arith.constant 0 : index
  %pad = arith.constant false
  %v = vector.transfer_read %x[%c0], %pad {in_bounds = [true]} : memref<16xi1>, vector<16xi1>
  vector.transfer_write %v, %out[%c0] {in_bounds = [true]} : vector<16xi1>, memref<16xi1>
  return
}

// -----

// CHECK-LABEL: func @body
// CHECK:         linalg.generic
// CHECK:         ^bb0(%[[IN:.*]]: i8, %{{.*}}: i8):
// CHECK:           %[[P:.*]] = arith.cmpi ne, %[[IN]]
// CHECK:           %[[NOT:.*]] = arith.xori %[[P]]
// CHECK:           %[[BYTE:.*]] = arith.extui %[[NOT]] : i1 to i8
// CHECK:           linalg.yield %[[BYTE]]
#map = affine_map<(d0) -> (d0)>
func.func @body(%x: memref<?xi1>, %out: memref<?xi1>) {
  linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel"]} ins(%x : memref<?xi1>) outs(%out : memref<?xi1>) {
  ^bb0(%p: i1, %q: i1):
    %true = arith.constant true
    %not = arith.xori %p, %true : i1
    linalg.yield %not : i1
  }
  return
}

// -----

// Bytes that are bytes stay.
// CHECK-LABEL: func @bytes
// CHECK-NEXT:    memref.load
// CHECK-NEXT:    return
func.func @bytes(%x: memref<i8>) -> i8 {
  %v = memref.load %x[] : memref<i8>
  return %v : i8
}
