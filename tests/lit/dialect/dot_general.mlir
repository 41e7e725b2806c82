// RUN: tw-opt %s | tw-opt | FileCheck %s

// CHECK-LABEL: func.func @dot_general
// CHECK: tw.dot_general %{{.*}}, %{{.*}} lhs_batch = [0] rhs_batch = [0] lhs_contract = [2] rhs_contract = [1] : tensor<2x?x8xf16>, tensor<2x8x4xf16> -> tensor<2x?x4xf32>
func.func @dot_general(%a: tensor<2x?x8xf16>, %b: tensor<2x8x4xf16>) {
  %0 = tw.dot_general %a, %b lhs_batch = [0] rhs_batch = [0] lhs_contract = [2] rhs_contract = [1] : tensor<2x?x8xf16>, tensor<2x8x4xf16> -> tensor<2x?x4xf32>
  return
}

// CHECK-LABEL: func.func @dot_general_precision
// CHECK: tw.dot_general %{{.*}}, %{{.*}} lhs_contract = [1] rhs_contract = [0] precision = "tf32" : tensor<?x8xf32>, tensor<8x4xf32> -> tensor<?x4xf32>
func.func @dot_general_precision(%a: tensor<?x8xf32>, %b: tensor<8x4xf32>) {
  %0 = tw.dot_general %a, %b lhs_contract = [1] rhs_contract = [0] precision = "tf32" : tensor<?x8xf32>, tensor<8x4xf32> -> tensor<?x4xf32>
  return
}
