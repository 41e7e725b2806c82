// RUN: tw-opt %s --tw-normalize --split-input-file | FileCheck %s

// Factors of 8 bits become bfloat16, which has all their values.
// CHECK-LABEL: func.func @widened
// CHECK-DAG:     %[[A:.*]] = tw.cast %arg0 : tensor<4x32xf8E4M3FN> to tensor<4x32xbf16>
// CHECK-DAG:     %[[B:.*]] = tw.cast %arg1 : tensor<8x32xf8E4M3FN> to tensor<8x32xbf16>
// CHECK:         tw.dot_general %[[A]], %[[B]]
func.func @widened(%a: tensor<4x32xf8E4M3FN>, %b: tensor<8x32xf8E4M3FN>) -> tensor<4x8xf32> {
  %0 = tw.dot_general %a, %b lhs_contract = [1] rhs_contract = [1] : tensor<4x32xf8E4M3FN>, tensor<8x32xf8E4M3FN> -> tensor<4x8xf32>
  return %0 : tensor<4x8xf32>
}

// -----

// Not where the target multiplies them: rows along the sum.
module attributes {tw.target = #tw.target<kind = "cuda", cpu = "sm_90a", features = "", facts = {float8_products = 1 : i64}>} {
  // CHECK-LABEL: func.func @kept
  // CHECK-NOT:     tw.cast
  // CHECK:         tw.dot_general %arg0, %arg1
  func.func @kept(%a: tensor<4x32xf8E4M3FN>, %b: tensor<8x32xf8E4M3FN>) -> tensor<4x8xf32> {
    %0 = tw.dot_general %a, %b lhs_contract = [1] rhs_contract = [1] : tensor<4x32xf8E4M3FN>, tensor<8x32xf8E4M3FN> -> tensor<4x8xf32>
    return %0 : tensor<4x8xf32>
  }

  // CHECK-LABEL: func.func @crosswise
  // CHECK-COUNT-2: tw.cast
  func.func @crosswise(%a: tensor<4x32xf8E4M3FN>, %b: tensor<32x16xf8E4M3FN>) -> tensor<4x16xf32> {
    %0 = tw.dot_general %a, %b lhs_contract = [1] rhs_contract = [0] : tensor<4x32xf8E4M3FN>, tensor<32x16xf8E4M3FN> -> tensor<4x16xf32>
    return %0 : tensor<4x16xf32>
  }
}
