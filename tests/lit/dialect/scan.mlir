// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @scan
// CHECK: tw.scan init(%{{.*}}) over(%{{.*}}) : (tensor<f32>), (tensor<?xf32>) -> tensor<f32>, tensor<?xf32> {
func.func @scan(%a: tensor<f32>, %xs: tensor<?xf32>) {
  %0:2 = tw.scan init(%a) over(%xs) : (tensor<f32>), (tensor<?xf32>) -> tensor<f32>, tensor<?xf32> {
  ^bb0(%c: tensor<f32>, %x: tensor<f32>):
    tw.yield %c, %x : tensor<f32>, tensor<f32>
  }
  return
}
