// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @layer_norm_c1(%x: tensor<f32>) {
  // expected-error @+1 {{(c1) input needs at least one dimension}}
  %0 = tw.layer_norm %x : tensor<f32>
  return
}

// -----

func.func @layer_norm_c2(%x: tensor<2x4xf32>, %w: tensor<2xf32>) {
  // expected-error @+1 {{(c2) 'tensor<2xf32>' does not fit the last dimension}}
  %0 = tw.layer_norm %x weight %w : tensor<2xf32> : tensor<2x4xf32>
  return
}
