// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @argmin_c1(%x: tensor<2x4xf32>) {
  // expected-error @+2 {{(c1) dimensions must exist}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.argmin %x axis = 2 : tensor<2x4xf32> -> tensor<2xi64>
  return
}

// -----

func.func @argmin_c2(%x: tensor<2x4xf32>) {
  // expected-error @+2 {{are incompatible with return type}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.argmin %x axis = 1 : tensor<2x4xf32> -> tensor<4xi64>
  return
}
