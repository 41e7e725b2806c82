// RUN: tw-opt %s --tw-to-linalg | FileCheck %s

// CHECK-LABEL: func.func @cond
// CHECK: %[[FLAG:.*]] = tensor.extract
// CHECK: scf.if %[[FLAG]] -> (tensor<4xi8>)
func.func @cond(%p: tensor<i1>, %a: tensor<4xui8>) -> tensor<4xui8> {
  %0 = tw.cond %p(%a) : (tensor<4xui8>) -> tensor<4xui8> then {
  ^bb0(%x: tensor<4xui8>):
    tw.yield %x : tensor<4xui8>
  } else {
  ^bb0(%x: tensor<4xui8>):
    %1 = tw.square %x : tensor<4xui8>
    tw.yield %1 : tensor<4xui8>
  }
  return %0 : tensor<4xui8>
}

// CHECK-LABEL: func.func @while
// CHECK: scf.while
// CHECK: scf.condition(%{{.*}}) %{{.*}} : tensor<i32>
// CHECK: scf.yield %{{.*}} : tensor<i32>
func.func @while(%n: tensor<i32>) -> tensor<i32> {
  %0 = tw.while(%n) : (tensor<i32>) -> tensor<i32> cond {
  ^bb0(%x: tensor<i32>):
    %p = tw.compare "lt", %x, %n : tensor<i32>
    tw.yield %p : tensor<i1>
  } do {
  ^bb0(%x: tensor<i32>):
    %y = tw.add %x, %x : tensor<i32>
    tw.yield %y : tensor<i32>
  }
  return %0 : tensor<i32>
}

// CHECK-LABEL: func.func @scan
// CHECK: scf.for %[[K:.*]] = {{.*}} iter_args(%{{.*}} = %{{.*}}, %[[STACK:.*]] = %{{.*}}) -> (tensor<f32>, tensor<?xf32>)
// CHECK: tensor.extract_slice %{{.*}}[%[[K]]] [1] [1] : tensor<?xf32> to tensor<f32>
// CHECK: tensor.insert_slice %{{.*}} into %[[STACK]][%[[K]]] [1] [1]
func.func @scan(%a: tensor<f32>, %xs: tensor<?xf32>) -> (tensor<f32>, tensor<?xf32>) {
  %0:2 = tw.scan init(%a) over(%xs) : (tensor<f32>), (tensor<?xf32>) -> tensor<f32>, tensor<?xf32> {
  ^bb0(%c: tensor<f32>, %x: tensor<f32>):
    %s = tw.add %c, %x : tensor<f32>
    tw.yield %s, %s : tensor<f32>, tensor<f32>
  }
  return %0#0, %0#1 : tensor<f32>, tensor<?xf32>
}
