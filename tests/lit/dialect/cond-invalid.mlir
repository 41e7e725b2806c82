// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @cond_c1(%p: tensor<i1>, %a: tensor<4xf32>) {
  // expected-error @+1 {{(c1) the arguments of the regions}}
  %0 = tw.cond %p(%a) : (tensor<4xf32>) -> tensor<4xf32> then {
  ^bb0(%x: tensor<4xf32>):
    tw.yield %x : tensor<4xf32>
  } else {
  ^bb0(%x: tensor<5xf32>):
    tw.yield %a : tensor<4xf32>
  }
  return
}

// -----

func.func @cond_c2(%p: tensor<i1>, %a: tensor<4xf32>) {
  // expected-error @+1 {{(c2) both regions must yield}}
  %0 = tw.cond %p(%a) : (tensor<4xf32>) -> tensor<4xf32> then {
  ^bb0(%x: tensor<4xf32>):
    tw.yield %x : tensor<4xf32>
  } else {
  ^bb0(%x: tensor<4xf32>):
    tw.yield %p : tensor<i1>
  }
  return
}
