// RUN: tw-opt %s --tw-carry-buffers --canonicalize --split-input-file | FileCheck %s

// The copy that bufferisation makes of what a condition passes on is not needed.
// CHECK-LABEL: func @until
// CHECK:         %[[PLACE:.*]] = memref.alloc
// CHECK:         scf.while
// CHECK-NOT:     memref.copy
// CHECK:         do
// CHECK:           call @step(%[[PLACE]], %[[NEXT:.*]]) :
// CHECK:           memref.copy %[[NEXT]], %[[PLACE]]
// CHECK:         return %[[PLACE]]
func.func private @step(memref<4xf32>, memref<4xf32>)
func.func private @done(memref<4xf32>) -> i1
func.func @until(%init: memref<4xf32>) -> memref<4xf32> {
  %r = scf.while (%x = %init) : (memref<4xf32>) -> memref<4xf32> {
    %c = func.call @done(%x) : (memref<4xf32>) -> i1
    %y = memref.alloc() : memref<4xf32>
    memref.copy %x, %y : memref<4xf32> to memref<4xf32>
    scf.condition(%c) %y : memref<4xf32>
  } do {
  ^bb0(%x: memref<4xf32>):
    %y = memref.alloc() : memref<4xf32>
    func.call @step(%x, %y) : (memref<4xf32>, memref<4xf32>) -> ()
    scf.yield %y : memref<4xf32>
  }
  return %r : memref<4xf32>
}
