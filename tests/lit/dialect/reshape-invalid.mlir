// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @reshape_c1(%x: tensor<8xf32>) {
  // expected-error @+1 {{(c1) input and result must have the same element type}}
  %0 = tw.reshape %x : tensor<8xf32> -> tensor<2x4xi32>
  return
}

// -----

func.func @reshape_c2(%x: tensor<8xf32>) {
  // expected-error @+1 {{(c2) expects 1 sizes}}
  %0 = tw.reshape %x : tensor<8xf32> -> tensor<?x4xf32>
  return
}

// -----

func.func @reshape_c3(%x: tensor<8xf32>) {
  // expected-error @+1 {{have different numbers of elements}}
  %0 = tw.reshape %x : tensor<8xf32> -> tensor<3x4xf32>
  return
}
