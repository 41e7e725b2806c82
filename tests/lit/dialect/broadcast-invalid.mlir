// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @broadcast_c1(%x: tensor<4xf32>) {
  // expected-error @+1 {{(c1) dims must increase and name dimensions}}
  %0 = tw.broadcast %x dims = [2] : tensor<4xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @broadcast_c2(%x: tensor<4xf32>) {
  // expected-error @+1 {{(c2) dimension 0 of size 4 cannot become size 2}}
  %0 = tw.broadcast %x dims = [0] : tensor<4xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @broadcast_c3(%x: tensor<4xf32>) {
  // expected-error @+1 {{(c3) expects 1 sizes}}
  %0 = tw.broadcast %x dims = [1] : tensor<4xf32> -> tensor<?x4xf32>
  return
}

// -----

func.func @broadcast_c4(%x: tensor<4xf32>) {
  // expected-error @+1 {{(c4) input and result must have the same element type}}
  %0 = tw.broadcast %x dims = [1] : tensor<4xf32> -> tensor<2x4xf64>
  return
}
