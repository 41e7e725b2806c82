// RUN: tw-opt %s --tw-carry-buffers --split-input-file | FileCheck %s

// What an iteration yields is copied to the place that the next one reads.
// CHECK-LABEL: func @scan
// CHECK-SAME:    %[[INIT:[a-z0-9]+]]: memref<?xf32>
// CHECK:         %[[PLACE:.*]] = memref.alloc(%{{.*}}) {{.*}}: memref<?xf32>
// CHECK:         memref.copy %[[INIT]], %[[PLACE]]
// CHECK:         scf.for
// CHECK-NOT:     iter_args
// CHECK:           %[[NEXT:.*]] = memref.alloc
// CHECK:           call @step(%[[PLACE]], %[[NEXT]])
// CHECK:           memref.copy %[[NEXT]], %[[PLACE]]
// CHECK:         return %[[PLACE]]
func.func private @step(memref<?xf32>, memref<?xf32>)
func.func @scan(%init: memref<?xf32>, %n: index, %size: index) -> memref<?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%x = %init) -> memref<?xf32> {
    %y = memref.alloc(%size) : memref<?xf32>
    func.call @step(%x, %y) : (memref<?xf32>, memref<?xf32>) -> ()
    scf.yield %y : memref<?xf32>
  }
  return %r : memref<?xf32>
}

// -----

// A swap of two carried values goes through temporaries: both are read before either is written.
// CHECK-LABEL: func @swap
// CHECK:         %[[A:.*]] = memref.alloc
// CHECK:         %[[B:.*]] = memref.alloc
// CHECK:         scf.for
// CHECK:           memref.copy %[[B]], %[[TB:.*]] :
// CHECK:           memref.copy %[[A]], %[[TA:.*]] :
// CHECK:           memref.copy %[[TB]], %[[A]]
// CHECK:           memref.copy %[[TA]], %[[B]]
// CHECK:         return %[[A]], %[[B]]
func.func @swap(%p: memref<4xf32>, %q: memref<4xf32>, %n: index) -> (memref<4xf32>, memref<4xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r:2 = scf.for %i = %c0 to %n step %c1 iter_args(%x = %p, %y = %q) -> (memref<4xf32>, memref<4xf32>) {
    scf.yield %y, %x : memref<4xf32>, memref<4xf32>
  }
  return %r#0, %r#1 : memref<4xf32>, memref<4xf32>
}

// -----

// A loop that carries no buffer stays as it is.
// CHECK-LABEL: func @count
// CHECK-NOT:     memref.alloc
// CHECK:         scf.for {{.*}} iter_args
func.func @count(%n: index) -> index {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%x = %c0) -> index {
    %y = arith.addi %x, %i : index
    scf.yield %y : index
  }
  return %r : index
}
