// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @pad_c1(%x: tensor<4xf32>, %v: tensor<f32>) {
  // expected-error @+2 {{(c1) low and high need one entry}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.pad %x, %v low = [-1] high = [0] : tensor<4xf32>, tensor<f32> -> tensor<3xf32>
  return
}

// -----

func.func @pad_c2(%x: tensor<4xf32>, %v: tensor<i32>) {
  // expected-error @+2 {{(c2) value must have the element type}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.pad %x, %v low = [1] high = [0] : tensor<4xf32>, tensor<i32> -> tensor<5xf32>
  return
}
