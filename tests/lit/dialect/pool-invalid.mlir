// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @pool_c1(%x: tensor<3x8xf32>) {
  // expected-error @+2 {{(c1) input must have rank 3 or more}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.pool %x kind = "max" window = [2] strides = [2] dilations = [1] low = [0] high = [0] : tensor<3x8xf32> -> tensor<3x4xf32>
  return
}

// -----

func.func @pool_c2(%x: tensor<1x3x8xf32>) {
  // expected-error @+2 {{(c2) window, strides, dilations and paddings}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.pool %x kind = "max" window = [2] strides = [0] dilations = [1] low = [0] high = [0] : tensor<1x3x8xf32> -> tensor<1x3x4xf32>
  return
}

// -----

func.func @pool_c3(%x: tensor<1x3x8xf32>) {
  // expected-error @+2 {{(c3) kind must be max or sum}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.pool %x kind = "mean" window = [2] strides = [2] dilations = [1] low = [0] high = [0] : tensor<1x3x8xf32> -> tensor<1x3x4xf32>
  return
}

// -----

func.func @pool_c4(%x: tensor<1x3x1xf32>) {
  // expected-error @+2 {{(c4) the window does not fit dimension 2}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.pool %x kind = "max" window = [2] strides = [2] dilations = [1] low = [0] high = [0] : tensor<1x3x1xf32> -> tensor<1x3x1xf32>
  return
}
