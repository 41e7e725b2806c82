// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @neg_c1(%x: tensor<4xf32>) {
  // expected-error @+1 {{all of {input, result} have same type}}
  %0 = "tw.neg"(%x) : (tensor<4xf32>) -> tensor<5xf32>
  return
}

// -----

func.func @neg_element(%x: tensor<4xi1>) {
  // expected-error @+1 {{operand #0 must be ranked tensor of number}}
  %0 = tw.neg %x : tensor<4xi1>
  return
}
