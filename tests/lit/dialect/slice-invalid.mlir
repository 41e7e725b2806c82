// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @slice_c1(%x: tensor<8xf32>) {
  // expected-error @+1 {{(c1) needs one offset, size and stride}}
  %0 = tw.slice %x[0, 0] [1, 1] [1, 1] : tensor<8xf32> -> tensor<1x1xf32>
  return
}

// -----

func.func @slice_c2(%x: tensor<8xf32>) {
  // expected-error @+1 {{(c2) the stride of dimension 0 must be positive}}
  %0 = tw.slice %x[0] [1] [0] : tensor<8xf32> -> tensor<1xf32>
  return
}

// -----

func.func @slice_c3(%x: tensor<8xf32>) {
  // expected-error @+1 {{(c3) the box ends outside dimension 0 of size 8}}
  %0 = tw.slice %x[1] [8] [1] : tensor<8xf32> -> tensor<8xf32>
  return
}

// -----

func.func @slice_c4(%x: tensor<8xf32>) {
  // expected-error @+1 {{(c4) dimension 0 of the result does not have the size}}
  %0 = tw.slice %x[1] [4] [1] : tensor<8xf32> -> tensor<5xf32>
  return
}
