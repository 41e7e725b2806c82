// RUN: tw-opt %s --split-input-file --verify-diagnostics

// 8-bit floats are not compared.
func.func @compare_float8(%a: tensor<4xf8E5M2>) {
  // expected-error @+1 {{operand #0 must be ranked tensor of number or boolean values}}
  %0 = "tw.compare"(%a, %a) {predicate = "lt"} : (tensor<4xf8E5M2>, tensor<4xf8E5M2>) -> tensor<4xi1>
  return
}

// -----

func.func @compare_c1(%a: tensor<4xf32>, %b: tensor<5xf32>) {
  // expected-error @+1 {{all of {lhs, rhs} have same type}}
  %0 = "tw.compare"(%a, %b) {predicate = "lt"} : (tensor<4xf32>, tensor<5xf32>) -> tensor<4xi1>
  return
}

// -----

func.func @compare_c2(%a: tensor<4xf32>) {
  // expected-error @+1 {{(c2) result is boolean and has the shape of lhs}}
  %0 = "tw.compare"(%a, %a) {predicate = "lt"} : (tensor<4xf32>, tensor<4xf32>) -> tensor<5xi1>
  return
}

// -----

func.func @compare_c3(%a: tensor<4xf32>) {
  // expected-error @+1 {{(c3) predicate must be one of}}
  %0 = tw.compare "less", %a, %a : tensor<4xf32>
  return
}
