// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @sum_c1(%x: tensor<2x4xf32>) {
  // expected-error @+2 {{(c1) dimensions must exist and increase}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.sum %x dims = [1, 0] : tensor<2x4xf32> -> tensor<f32>
  return
}

// -----

func.func @sum_c2(%x: tensor<2x4xf32>) {
  // expected-error @+2 {{are incompatible with return type}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.sum %x dims = [1] : tensor<2x4xf32> -> tensor<4xf32>
  return
}
