// RUN: tw-opt %s --tw-cpu-lower-vectors --split-input-file | FileCheck %s
// RUN: tw-opt %s --tw-cpu-expanded-shapes --split-input-file | FileCheck %s

// Two dynamic sizes in one group: both are given, nothing is divided.
// CHECK-LABEL: func @two
// CHECK-SAME:    %[[M:[a-z0-9]+]]: index, %[[N:[a-z0-9]+]]: index
// CHECK:         memref.reinterpret_cast %{{.*}} to offset: [0], sizes: [%[[M]], %[[N]]], strides: [%{{.*}}, 1]
func.func @two(%x: memref<?xf32>, %m: index, %n: index) -> memref<?x?xf32> {
  %y = memref.expand_shape %x [[0, 1]] output_shape [%m, %n] : memref<?xf32> into memref<?x?xf32>
  return %y : memref<?x?xf32>
}

// -----

// CHECK-LABEL: func @one
// CHECK:         memref.expand_shape
func.func @one(%x: memref<?xf32>, %m: index) -> memref<?x4xf32> {
  %y = memref.expand_shape %x [[0, 1]] output_shape [%m, 4] : memref<?xf32> into memref<?x4xf32>
  return %y : memref<?x4xf32>
}
