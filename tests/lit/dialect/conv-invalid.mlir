// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @conv_c1(%x: tensor<1x4xf32>, %w: tensor<6x4xf32>) {
  // expected-error @+2 {{(c1) input and filter must have one rank >= 3}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.conv %x, %w strides = [2] dilations = [1] low = [1] high = [1] groups = 1 : tensor<1x4xf32>, tensor<6x4xf32> -> tensor<1x6xf32>
  return
}

// -----

func.func @conv_c2(%x: tensor<1x4x8xf32>, %w: tensor<6x4x3xf32>) {
  // expected-error @+2 {{(c2) strides, dilations and paddings}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.conv %x, %w strides = [0] dilations = [1] low = [1] high = [1] groups = 1 : tensor<1x4x8xf32>, tensor<6x4x3xf32> -> tensor<1x6x4xf32>
  return
}

// -----

func.func @conv_c3(%x: tensor<1x4x8xf32>, %w: tensor<6x4x3xf32>) {
  // expected-error @+2 {{(c3) groups must divide the channels}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.conv %x, %w strides = [2] dilations = [1] low = [1] high = [1] groups = 3 : tensor<1x4x8xf32>, tensor<6x4x3xf32> -> tensor<1x6x4xf32>
  return
}

// -----

func.func @conv_c4(%x: tensor<1x4x1xf32>, %w: tensor<6x4x5xf32>) {
  // expected-error @+2 {{(c4) the window does not fit dimension 2}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.conv %x, %w strides = [2] dilations = [1] low = [1] high = [1] groups = 1 : tensor<1x4x1xf32>, tensor<6x4x5xf32> -> tensor<1x6x4xf32>
  return
}

// -----

func.func @conv_c5(%x: tensor<1x4x8xf64>, %w: tensor<6x4x3xf64>) {
  // expected-error @+2 {{(c5) precision must be tf32, and the operands f32}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.conv %x, %w strides = [1] dilations = [1] low = [0] high = [0] groups = 1 precision = "tf32" : tensor<1x4x8xf64>, tensor<6x4x3xf64> -> tensor<1x6x6xf64>
  return
}
