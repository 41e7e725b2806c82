// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @shift_right_c1(%a: tensor<4xui16>, %b: tensor<1xui16>) {
  // expected-error @+1 {{all of {lhs, rhs, result} have same type}}
  %0 = "tw.shift_right"(%a, %b) : (tensor<4xui16>, tensor<1xui16>) -> tensor<4xui16>
  return
}

// -----

func.func @shift_right_element(%a: tensor<4xf32>) {
  // expected-error @+1 {{operand #0 must be ranked tensor of integer}}
  %0 = tw.shift_right %a, %a : tensor<4xf32>
  return
}
