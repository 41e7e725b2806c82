// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @concat_c1(%a: tensor<4xf32>) {
  // expected-error @+2 {{(c1) there must be an operand with dimension axis}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.concat %a axis = 1 : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @concat_c2(%a: tensor<4xf32>, %b: tensor<4xf64>) {
  // expected-error @+2 {{(c2) operands must have the same element type and rank}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.concat %a, %b axis = 0 : (tensor<4xf32>, tensor<4xf64>) -> tensor<8xf32>
  return
}

// -----

func.func @concat_c3(%a: tensor<4x2xf32>, %b: tensor<4x3xf32>) {
  // expected-error @+2 {{(c3) operands differ in dimension 1}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.concat %a, %b axis = 0 : (tensor<4x2xf32>, tensor<4x3xf32>) -> tensor<8x2xf32>
  return
}
