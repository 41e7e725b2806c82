// RUN: tw-opt %s --tw-to-linalg --split-input-file --verify-diagnostics

// A composite has no loops of its own.
func.func @composite(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  // expected-error @+1 {{failed to legalize operation 'tw.softmax'}}
  %0 = tw.softmax %x axis = 1 : tensor<4x8xf32>
  return %0 : tensor<4x8xf32>
}

// -----

func.func @padded(%x: tensor<1x1x8xf32>, %w: tensor<1x1x3xf32>) -> tensor<1x1x8xf32> {
  // expected-error @+2 {{failed to legalize operation 'tw.conv'}}
  // expected-remark @+1 {{it has to be decomposed first (tw-normalize)}}
  %0 = tw.conv %x, %w strides = [1] dilations = [1] low = [1] high = [1] groups = 1
    : tensor<1x1x8xf32>, tensor<1x1x3xf32> -> tensor<1x1x8xf32>
  return %0 : tensor<1x1x8xf32>
}
