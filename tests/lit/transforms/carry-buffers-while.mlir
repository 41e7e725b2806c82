// RUN: tw-opt %s --tw-carry-buffers --canonicalize --split-input-file --verify-diagnostics | FileCheck %s

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

// -----

// What the condition makes is as large as it says, not as what is carried in the same position.
// CHECK-LABEL: func @made_in_the_condition
// CHECK-SAME:    (%{{.*}}: memref<?xf32>, %[[B:.*]]: memref<?xf32>)
// CHECK:         %[[SIZE:.*]] = memref.dim %[[B]]
// CHECK:         memref.alloc(%[[SIZE]])
// CHECK:         %[[PASSED:.*]] = memref.alloc(%[[SIZE]])
// CHECK:         scf.while
// CHECK:           %[[MADE:.*]] = memref.alloc(%[[SIZE]])
// CHECK:           memref.copy %[[MADE]], %[[PASSED]]
// CHECK:         return %[[PASSED]]
func.func private @double(memref<?xf32>, memref<?xf32>)
func.func private @done(memref<?xf32>) -> i1
func.func @made_in_the_condition(%a: memref<?xf32>, %b: memref<?xf32>) -> memref<?xf32> {
  %c0 = arith.constant 0 : index
  %r = scf.while (%x = %a, %y = %b) : (memref<?xf32>, memref<?xf32>) -> memref<?xf32> {
    %n = memref.dim %y, %c0 : memref<?xf32>
    %z = memref.alloc(%n) : memref<?xf32>
    func.call @double(%y, %z) : (memref<?xf32>, memref<?xf32>) -> ()
    %c = func.call @done(%x) : (memref<?xf32>) -> i1
    scf.condition(%c) %z : memref<?xf32>
  } do {
  ^bb0(%z: memref<?xf32>):
    scf.yield %a, %z : memref<?xf32>, memref<?xf32>
  }
  return %r : memref<?xf32>
}

// -----

func.func private @count() -> index
func.func private @done(memref<?xf32>) -> i1
func.func @unknown_size(%a: memref<?xf32>) -> memref<?xf32> {
  // expected-error @+1 {{whose size is not known before the loop}}
  %r = scf.while (%x = %a) : (memref<?xf32>) -> memref<?xf32> {
    %n = func.call @count() : () -> index
    %z = memref.alloc(%n) : memref<?xf32>
    %c = func.call @done(%x) : (memref<?xf32>) -> i1
    scf.condition(%c) %z : memref<?xf32>
  } do {
  ^bb0(%z: memref<?xf32>):
    scf.yield %z : memref<?xf32>
  }
  return %r : memref<?xf32>
}
