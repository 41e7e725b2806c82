// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @scatter_c1(%x: tensor<8xf32>, %i: tensor<5xi64>, %u: tensor<5xf32>) {
  // expected-error @+1 {{(c1) axis 1 is not a dimension}}
  %0 = tw.scatter %x, %i, %u axis = 1 kind = "set" : tensor<8xf32>, tensor<5xi64>, tensor<5xf32>
  return
}

// -----

func.func @scatter_c2(%x: tensor<8xf32>, %i: tensor<5x1xi64>, %u: tensor<5xf32>) {
  // expected-error @+1 {{(c2) indices must have one dimension}}
  %0 = tw.scatter %x, %i, %u axis = 0 kind = "set" : tensor<8xf32>, tensor<5x1xi64>, tensor<5xf32>
  return
}

// -----

func.func @scatter_c3(%x: tensor<8xf32>, %i: tensor<5xi64>, %u: tensor<6xf32>) {
  // expected-error @+1 {{(c3) dimension 0 of updates does not fit}}
  %0 = tw.scatter %x, %i, %u axis = 0 kind = "set" : tensor<8xf32>, tensor<5xi64>, tensor<6xf32>
  return
}

// -----

func.func @scatter_c4(%x: tensor<8xf32>, %i: tensor<5xi64>, %u: tensor<5xf32>) {
  // expected-error @+1 {{(c4) kind must be set, add, max or min}}
  %0 = tw.scatter %x, %i, %u axis = 0 kind = "mul" : tensor<8xf32>, tensor<5xi64>, tensor<5xf32>
  return
}

// -----

func.func @scatter_c5(%x: tensor<8xf32>, %i: tensor<5xi64>, %u: tensor<5xf32>) {
  // expected-error @+1 {{all of {input, result} have same type}}
  %0 = "tw.scatter"(%x, %i, %u) {axis = 0 : i64, kind = "set"} : (tensor<8xf32>, tensor<5xi64>, tensor<5xf32>) -> tensor<9xf32>
  return
}
