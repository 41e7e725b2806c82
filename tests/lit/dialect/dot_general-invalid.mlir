// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @dot_general_c1(%a: tensor<2x8xf32>, %b: tensor<8x4xf32>) {
  // expected-error @+1 {{(c1) dimension 2 does not exist}}
  %0 = tw.dot_general %a, %b lhs_contract = [2] rhs_contract = [0] : tensor<2x8xf32>, tensor<8x4xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @dot_general_c2(%a: tensor<2x8xf32>, %b: tensor<8x4xf32>) {
  // expected-error @+1 {{(c2) batch lists and contraction lists must have equal length}}
  %0 = tw.dot_general %a, %b lhs_contract = [1] : tensor<2x8xf32>, tensor<8x4xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @dot_general_c3(%a: tensor<2x8xf32>, %b: tensor<9x4xf32>) {
  // expected-error @+1 {{(c3) dimension 1 of lhs and dimension 0 of rhs differ in size}}
  %0 = tw.dot_general %a, %b lhs_contract = [1] rhs_contract = [0] : tensor<2x8xf32>, tensor<9x4xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @dot_general_c4(%a: tensor<2x8xf32>, %b: tensor<8x4xf32>) {
  // expected-error @+1 {{(c4) the result must have shape}}
  %0 = tw.dot_general %a, %b lhs_contract = [1] rhs_contract = [0] : tensor<2x8xf32>, tensor<8x4xf32> -> tensor<4x2xf32>
  return
}

// -----

func.func @dot_general_c5(%a: tensor<2x8xf32>, %b: tensor<8x4xf32>) {
  // expected-error @+1 {{(c5) element types}}
  %0 = tw.dot_general %a, %b lhs_contract = [1] rhs_contract = [0] : tensor<2x8xf32>, tensor<8x4xf32> -> tensor<2x4xi32>
  return
}

// -----

func.func @dot_general_c5_float8(%a: tensor<2x8xf8E5M2>, %b: tensor<8x4xbf16>) {
  // expected-error @+1 {{(c5) element types}}
  %0 = tw.dot_general %a, %b lhs_contract = [1] rhs_contract = [0] : tensor<2x8xf8E5M2>, tensor<8x4xbf16> -> tensor<2x4xf32>
  return
}

// -----

func.func @dot_general_c6(%a: tensor<2x8xf32>, %b: tensor<8x4xf32>) {
  // expected-error @+1 {{(c6) precision "tf16" does not exist for 'f32' -> 'f32'}}
  %0 = tw.dot_general %a, %b lhs_contract = [1] rhs_contract = [0] precision = "tf16" : tensor<2x8xf32>, tensor<8x4xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @dot_general_c6_wide(%a: tensor<2x8xf32>, %b: tensor<8x4xf32>) {
  // expected-error @+1 {{(c6) precision "tf32" does not exist for 'f32' -> 'f64'}}
  %0 = tw.dot_general %a, %b lhs_contract = [1] rhs_contract = [0] precision = "tf32" : tensor<2x8xf32>, tensor<8x4xf32> -> tensor<2x4xf64>
  return
}
