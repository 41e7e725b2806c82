// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @logical_not_c1(%x: tensor<4xi1>) {
  // expected-error @+1 {{all of {input, result} have same type}}
  %0 = "tw.logical_not"(%x) : (tensor<4xi1>) -> tensor<5xi1>
  return
}

// -----

func.func @logical_not_element(%x: tensor<4xf32>) {
  // expected-error @+1 {{operand #0 must be ranked tensor of boolean}}
  %0 = tw.logical_not %x : tensor<4xf32>
  return
}
