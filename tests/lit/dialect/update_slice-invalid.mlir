// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @update_slice_c1(%x: tensor<8xf32>) {
  // expected-error @+1 {{(c1) needs one offset per dimension}}
  %0 = tw.update_slice %x, %x[0, 0] : tensor<8xf32>, tensor<8xf32>
  return
}

// -----

func.func @update_slice_c2(%x: tensor<8xf32>, %u: tensor<9xf32>) {
  // expected-error @+1 {{(c2) update is larger than the input in dimension 0}}
  %0 = tw.update_slice %x, %u[0] : tensor<8xf32>, tensor<9xf32>
  return
}

// -----

func.func @update_slice_c3(%x: tensor<8xf32>) {
  // expected-error @+1 {{all of {input, result} have same type}}
  %0 = "tw.update_slice"(%x, %x) {static_offsets = array<i64: 0>} : (tensor<8xf32>, tensor<8xf32>) -> tensor<9xf32>
  return
}
