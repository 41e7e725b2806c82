// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @min_c1(%a: tensor<4xf32>, %b: tensor<1xf32>) {
  // expected-error @+1 {{all of {lhs, rhs, result} have same type}}
  %0 = "tw.min"(%a, %b) : (tensor<4xf32>, tensor<1xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @min_element(%a: tensor<4xi1>) {
  // expected-error @+1 {{operand #0 must be ranked tensor of number}}
  %0 = tw.min %a, %a : tensor<4xi1>
  return
}
