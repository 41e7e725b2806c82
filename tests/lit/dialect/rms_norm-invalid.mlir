// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @rms_norm_c1(%x: tensor<f32>, %w: tensor<4xf32>) {
  // expected-error @+1 {{(c1) input needs at least one dimension}}
  %0 = tw.rms_norm %x, %w : tensor<f32>, tensor<4xf32>
  return
}

// -----

func.func @rms_norm_c2(%x: tensor<2x4xf32>, %w: tensor<4xf64>) {
  // expected-error @+1 {{(c2) 'tensor<4xf64>' does not fit the last dimension}}
  %0 = tw.rms_norm %x, %w : tensor<2x4xf32>, tensor<4xf64>
  return
}
