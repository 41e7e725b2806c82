// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @gelu_c1(%x: tensor<4xf32>) {
  // expected-error @+1 {{all of {input, result} have same type}}
  %0 = "tw.gelu"(%x) : (tensor<4xf32>) -> tensor<5xf32>
  return
}

// -----

func.func @gelu_c2(%x: tensor<4xf32>) {
  // expected-error @+1 {{(c2) approximate must be "none" or "tanh"}}
  %0 = tw.gelu %x {approximate = "erf"} : tensor<4xf32>
  return
}
