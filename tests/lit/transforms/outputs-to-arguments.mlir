// RUN: tw-opt %s --tw-outputs-to-arguments --split-input-file | FileCheck %s

// An allocation that is returned becomes the caller's buffer; no copy.
// CHECK-LABEL: func @main
// CHECK-SAME:    (%[[X:[a-z0-9]+]]: memref<?xf32>, %[[OUT:[a-z0-9]+]]: memref<?xf32> {tw.output = 0 : i64})
// CHECK-SAME:    tw.alias = array<i64: -1>
// CHECK-NOT:     memref.alloc
// CHECK:         call @kernel_0(%[[X]], %[[OUT]])
// CHECK-NEXT:    return
func.func private @kernel_0(memref<?xf32>, memref<?xf32>)
func.func @main(%x: memref<?xf32>) -> memref<?xf32> attributes {tw.host} {
  %c0 = arith.constant 0 : index
  %n = memref.dim %x, %c0 : memref<?xf32>
  %a = memref.alloc(%n) : memref<?xf32>
  call @kernel_0(%x, %a) : (memref<?xf32>, memref<?xf32>) -> ()
  return %a : memref<?xf32>
}

// -----

// Donated arguments are their own outputs; the numbers of the others stay.
// CHECK-LABEL: func @main
// CHECK-SAME:    %[[X:[a-z0-9]+]]: memref<4xf32>, %[[CACHE:[a-z0-9]+]]: memref<8xf32> {tw.donate}, %[[OUT:[a-z0-9]+]]: memref<4xf32> {tw.output = 1 : i64})
// CHECK-SAME:    tw.alias = array<i64: 1, -1>
// CHECK:         memref.copy %[[X]], %[[OUT]]
// CHECK:         return{{$}}
func.func @main(%x: memref<4xf32>, %cache: memref<8xf32> {tw.donate}) -> (memref<8xf32>, memref<4xf32>) attributes {tw.host} {
  return %cache, %x : memref<8xf32>, memref<4xf32>
}

// -----

// A reshape of an allocation is the same memory.
// CHECK-LABEL: func @main
// CHECK-SAME:    %[[OUT:[a-z0-9]+]]: memref<2x?xf32> {tw.output = 0 : i64}
// CHECK:         memref.reinterpret_cast %[[OUT]]
// CHECK-NOT:     memref.copy
// CHECK:         return{{$}}
func.func @main(%n: index, %half: index) -> memref<2x?xf32> attributes {tw.host} {
  %a = memref.alloc(%n) : memref<?xf32>
  %r = memref.expand_shape %a [[0, 1]] output_shape [2, %half] : memref<?xf32> into memref<2x?xf32>
  return %r : memref<2x?xf32>
}

// -----

// The same buffer twice: the second output is a copy.
// CHECK-LABEL: func @main
// CHECK-SAME:    %[[A:[a-z0-9]+]]: memref<4xf32> {tw.output = 0 : i64}, %[[B:[a-z0-9]+]]: memref<4xf32> {tw.output = 1 : i64}
// CHECK:         memref.copy %[[A]], %[[B]]
func.func @main() -> (memref<4xf32>, memref<4xf32>) attributes {tw.host} {
  %a = memref.alloc() : memref<4xf32>
  return %a, %a : memref<4xf32>, memref<4xf32>
}
