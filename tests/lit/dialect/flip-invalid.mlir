// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @flip_c1(%x: tensor<4xf32>) {
  // expected-error @+1 {{(c1) axes must exist and increase}}
  %0 = tw.flip %x axes = [1] : tensor<4xf32>
  return
}

// -----

func.func @flip_c2(%x: tensor<4xf32>) {
  // expected-error @+1 {{all of {input, result} have same type}}
  %0 = "tw.flip"(%x) {axes = array<i64: 0>} : (tensor<4xf32>) -> tensor<5xf32>
  return
}
