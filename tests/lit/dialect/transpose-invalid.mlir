// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @transpose_c1(%x: tensor<2x4xf32>) {
  // expected-error @+2 {{(c1) permutation must be one of the dimensions}}
  // expected-error @+1 {{failed to infer returned types}}
  %0 = tw.transpose %x permutation = [0, 0] : tensor<2x4xf32> -> tensor<2x2xf32>
  return
}
