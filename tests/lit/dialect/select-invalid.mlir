// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @select_c1(%c: tensor<4xi1>, %a: tensor<4xf32>, %b: tensor<4xf64>) {
  // expected-error @+1 {{all of {on_true, on_false, result} have same type}}
  %0 = "tw.select"(%c, %a, %b) : (tensor<4xi1>, tensor<4xf32>, tensor<4xf64>) -> tensor<4xf32>
  return
}

// -----

func.func @select_c2(%c: tensor<5xi1>, %a: tensor<4xf32>) {
  // expected-error @+1 {{(c2) condition is boolean and has the shape of the result}}
  %0 = "tw.select"(%c, %a, %a) : (tensor<5xi1>, tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return
}
