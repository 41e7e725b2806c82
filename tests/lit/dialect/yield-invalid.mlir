// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @yield_c1(%a: tensor<4xf32>) {
  // expected-error @+1 {{expects parent op to be one of 'tw.cond, tw.while, tw.scan'}}
  "tw.yield"(%a) : (tensor<4xf32>) -> ()
  return
}
