// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @while_c1(%p: tensor<i1>, %a: tensor<i32>) {
  // expected-error @+1 {{(c1) results and arguments of the regions}}
  %0 = tw.while(%a) : (tensor<i32>) -> tensor<i32> cond {
  ^bb0(%x: tensor<i64>):
    tw.yield %p : tensor<i1>
  } do {
  ^bb0(%x: tensor<i32>):
    tw.yield %x : tensor<i32>
  }
  return
}

// -----

func.func @while_c2(%p: tensor<i1>, %a: tensor<i32>) {
  // expected-error @+1 {{(c2) the condition must yield one tensor<i1>}}
  %0 = tw.while(%a) : (tensor<i32>) -> tensor<i32> cond {
  ^bb0(%x: tensor<i32>):
    tw.yield %x : tensor<i32>
  } do {
  ^bb0(%x: tensor<i32>):
    tw.yield %x : tensor<i32>
  }
  return
}

// -----

func.func @while_c3(%p: tensor<i1>, %a: tensor<i32>) {
  // expected-error @+1 {{(c3) the body must yield the types of the inits}}
  %0 = tw.while(%a) : (tensor<i32>) -> tensor<i32> cond {
  ^bb0(%x: tensor<i32>):
    tw.yield %p : tensor<i1>
  } do {
  ^bb0(%x: tensor<i32>):
    tw.yield %p : tensor<i1>
  }
  return
}
