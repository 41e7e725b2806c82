// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @iota_c1() {
  // expected-error @+1 {{(c1) axis 1 is not a dimension}}
  %0 = tw.iota axis = 1 : tensor<4xi32>
  return
}

// -----

func.func @iota_c2() {
  // expected-error @+1 {{(c2) expects 1 sizes}}
  %0 = tw.iota axis = 0 : tensor<?xi32>
  return
}
