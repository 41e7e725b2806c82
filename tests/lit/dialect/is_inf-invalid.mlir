// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @is_inf_c1(%x: tensor<4xf32>) {
  // expected-error @+1 {{(c1) result is boolean and has the shape of input}}
  %0 = "tw.is_inf"(%x) : (tensor<4xf32>) -> tensor<5xi1>
  return
}
