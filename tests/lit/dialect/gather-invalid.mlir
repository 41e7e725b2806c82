// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @gather_c1(%x: tensor<4xf32>, %i: tensor<5xi64>) {
  // expected-error @+2 {{(c1) axis 1 is not a dimension}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.gather %x, %i axis = 1 : tensor<4xf32>, tensor<5xi64> -> tensor<5xf32>
  return
}

// -----

func.func @gather_c2(%x: tensor<4xf32>, %i: tensor<5xi64>) {
  // expected-error @+1 {{(c2) mode must be clip, wrap, raise or checked}}
  %0 = tw.gather %x, %i axis = 0 {mode = "fill"} : tensor<4xf32>, tensor<5xi64> -> tensor<5xf32>
  return
}
