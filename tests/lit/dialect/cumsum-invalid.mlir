// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @cumsum_c1(%x: tensor<2x4xf32>) {
  // expected-error @+1 {{(c1) axis 2 is not a dimension}}
  %0 = tw.cumsum %x axis = 2 : tensor<2x4xf32>
  return
}

// -----

func.func @cumsum_c2(%x: tensor<2x4xf32>) {
  // expected-error @+1 {{all of {input, result} have same type}}
  %0 = "tw.cumsum"(%x) {axis = 0 : i64} : (tensor<2x4xf32>) -> tensor<4xf32>
  return
}
