// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @log_softmax_c1(%x: tensor<2x4xf32>) {
  // expected-error @+1 {{(c1) axis 2 is not a dimension}}
  %0 = tw.log_softmax %x axis = 2 : tensor<2x4xf32>
  return
}

// -----

func.func @log_softmax_c2(%x: tensor<2x4xf32>) {
  // expected-error @+1 {{all of {input, result} have same type}}
  %0 = "tw.log_softmax"(%x) {axis = 0 : i64} : (tensor<2x4xf32>) -> tensor<4xf32>
  return
}
