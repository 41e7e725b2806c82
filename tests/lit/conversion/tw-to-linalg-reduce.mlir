// RUN: tw-opt %s --tw-to-linalg | FileCheck %s

// Only what combines may be reassociated; half precision accumulates in f32.
// CHECK-LABEL: func.func @sum
// CHECK: linalg.fill {{.*}} tensor<?xf32>
// CHECK: linalg.generic {{.*}} iterator_types = ["parallel", "reduction"]
// CHECK: arith.extf
// CHECK: arith.addf {{.*}} fastmath<reassoc,contract> : f32
// CHECK: linalg.generic
// CHECK: arith.truncf
func.func @sum(%a: tensor<?x4xf16>) -> tensor<?xf16> {
  %0 = tw.sum %a dims = [1] : tensor<?x4xf16> -> tensor<?xf16>
  return %0 : tensor<?xf16>
}

// Equal values: the smaller position wins in whatever order they are met.
// CHECK-LABEL: func.func @argmax
// CHECK: linalg.generic {{.*}} outs({{.*}} tensor<2xi64>, tensor<2xf32>)
// CHECK: arith.cmpi slt
// CHECK: -> (tensor<2xi64>, tensor<2xf32>)
func.func @argmax(%a: tensor<2x?xf32>) -> tensor<2xi64> {
  %0 = tw.argmax %a axis = 1 : tensor<2x?xf32> -> tensor<2xi64>
  return %0 : tensor<2xi64>
}

// A running sum may not be split, vectorised or reassociated.
// CHECK-LABEL: func.func @cumsum
// CHECK: linalg.generic {{.*}} attrs = {tw.lowering = "loops"}
// CHECK: arith.addf {{.*}} fastmath<contract> : f32
func.func @cumsum(%a: tensor<2x?xf32>) -> tensor<2x?xf32> {
  %0 = tw.cumsum %a axis = 1 : tensor<2x?xf32>
  return %0 : tensor<2x?xf32>
}
