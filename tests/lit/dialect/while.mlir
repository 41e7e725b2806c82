// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @while
// CHECK: tw.while(%{{.*}}) : (tensor<i32>) -> tensor<i32> cond {
// CHECK: } do {
func.func @while(%p: tensor<i1>, %a: tensor<i32>) {
  %0 = tw.while(%a) : (tensor<i32>) -> tensor<i32> cond {
  ^bb0(%x: tensor<i32>):
    tw.yield %p : tensor<i1>
  } do {
  ^bb0(%x: tensor<i32>):
    tw.yield %x : tensor<i32>
  }
  return
}
