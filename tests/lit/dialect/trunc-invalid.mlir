// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @trunc_c1(%x: tensor<4xf32>) {
  // expected-error @+1 {{all of {input, result} have same type}}
  %0 = "tw.trunc"(%x) : (tensor<4xf32>) -> tensor<5xf32>
  return
}

// -----

func.func @trunc_element(%x: tensor<4xi32>) {
  // expected-error @+1 {{operand #0 must be ranked tensor of floating-point}}
  %0 = tw.trunc %x : tensor<4xi32>
  return
}
