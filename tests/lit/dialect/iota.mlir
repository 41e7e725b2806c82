// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @iota
// CHECK: tw.iota sizes(%{{.*}}) axis = 0 : tensor<?x4xi32>
func.func @iota(%n: index) {
  %0 = tw.iota sizes(%n) axis = 0 : tensor<?x4xi32>
  return
}
