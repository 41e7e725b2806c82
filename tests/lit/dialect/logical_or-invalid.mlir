// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @logical_or_c1(%a: tensor<4xi1>, %b: tensor<1xi1>) {
  // expected-error @+1 {{all of {lhs, rhs, result} have same type}}
  %0 = "tw.logical_or"(%a, %b) : (tensor<4xi1>, tensor<1xi1>) -> tensor<4xi1>
  return
}

// -----

func.func @logical_or_element(%a: tensor<4xi32>) {
  // expected-error @+1 {{operand #0 must be ranked tensor of boolean}}
  %0 = tw.logical_or %a, %a : tensor<4xi32>
  return
}
