// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @div_c1(%a: tensor<4xf32>, %b: tensor<1xf32>) {
  // expected-error @+1 {{all of {lhs, rhs, result} have same type}}
  %0 = "tw.div"(%a, %b) : (tensor<4xf32>, tensor<1xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @div_element(%a: tensor<4xi32>) {
  // expected-error @+1 {{operand #0 must be ranked tensor of floating-point}}
  %0 = tw.div %a, %a : tensor<4xi32>
  return
}
