// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @attention_c1(%q: tensor<4x8x64xf32>, %k: tensor<1x2x8x64xf32>) {
  // expected-error @+2 {{(c1) q, k and v must have rank 4}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.attention %q, %k, %k {causal = true, scale = 1.250000e-01 : f64} : tensor<4x8x64xf32>, tensor<1x2x8x64xf32>, tensor<1x2x8x64xf32> -> tensor<4x8x64xf32>
  return
}

// -----

func.func @attention_c2(%q: tensor<1x3x8x64xf32>, %k: tensor<1x2x8x64xf32>) {
  // expected-error @+2 {{(c2) batch, heads, keys or head sizes}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.attention %q, %k, %k {causal = true, scale = 1.250000e-01 : f64} : tensor<1x3x8x64xf32>, tensor<1x2x8x64xf32>, tensor<1x2x8x64xf32> -> tensor<1x3x8x64xf32>
  return
}

// -----

func.func @attention_c3(%q: tensor<1x2x8x64xf32>, %m: tensor<1x3x8x8xf32>) {
  // expected-error @+2 {{(c3) mask must have shape}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.attention %q, %q, %q mask %m : tensor<1x3x8x8xf32> {scale = 1.0 : f64} : tensor<1x2x8x64xf32>, tensor<1x2x8x64xf32>, tensor<1x2x8x64xf32> -> tensor<1x2x8x64xf32>
  return
}
