// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @from_index
// CHECK: tw.from_index %{{.*}} : tensor<i64>
func.func @from_index(%i: index) {
  %0 = tw.from_index %i : tensor<i64>
  return
}
