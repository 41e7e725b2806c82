// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @cond
// CHECK: tw.cond %{{.*}}(%{{.*}}) : (tensor<4xf32>) -> tensor<4xf32> then {
// CHECK: tw.yield %{{.*}} : tensor<4xf32>
// CHECK: } else {
func.func @cond(%p: tensor<i1>, %a: tensor<4xf32>) {
  %0 = tw.cond %p(%a) : (tensor<4xf32>) -> tensor<4xf32> then {
  ^bb0(%x: tensor<4xf32>):
    tw.yield %x : tensor<4xf32>
  } else {
  ^bb0(%x: tensor<4xf32>):
    tw.yield %x : tensor<4xf32>
  }
  return
}
