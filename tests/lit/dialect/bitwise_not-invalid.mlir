// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @bitwise_not_c1(%x: tensor<4xi32>) {
  // expected-error @+1 {{all of {input, result} have same type}}
  %0 = "tw.bitwise_not"(%x) : (tensor<4xi32>) -> tensor<5xi32>
  return
}

// -----

func.func @bitwise_not_element(%x: tensor<4xf32>) {
  // expected-error @+1 {{operand #0 must be ranked tensor of integer}}
  %0 = tw.bitwise_not %x : tensor<4xf32>
  return
}
