// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @to_index
// CHECK: tw.to_index %{{.*}} : tensor<ui8>
func.func @to_index(%x: tensor<ui8>) {
  %0 = tw.to_index %x : tensor<ui8>
  return
}
