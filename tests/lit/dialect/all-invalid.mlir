// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @all_c1(%x: tensor<2x4xi1>) {
  // expected-error @+2 {{(c1) dimensions must exist and increase}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.all %x dims = [1, 0] : tensor<2x4xi1> -> tensor<i1>
  return
}

// -----

func.func @all_c2(%x: tensor<2x4xi1>) {
  // expected-error @+2 {{are incompatible with return type}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.all %x dims = [1] : tensor<2x4xi1> -> tensor<4xi1>
  return
}
