// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @rope_c1(%x: tensor<2x7xf32>, %c: tensor<2x4xf32>) {
  // expected-error @+1 {{(c1) input must have two dimensions or more, the last static and even}}
  %0 = tw.rope %x, %c, %c : tensor<2x7xf32>, tensor<2x4xf32>
  return
}

// -----

func.func @rope_c2(%x: tensor<2x8xf32>, %c: tensor<3x4xf32>) {
  // expected-error @+1 {{(c2) cos and sin must have shape}}
  %0 = tw.rope %x, %c, %c : tensor<2x8xf32>, tensor<3x4xf32>
  return
}

// -----

func.func @rope_c3(%x: tensor<2x8xf32>, %c: tensor<2x4xf64>) {
  // expected-error @+1 {{(c3) all element types must be equal}}
  %0 = tw.rope %x, %c, %c : tensor<2x8xf32>, tensor<2x4xf64>
  return
}
