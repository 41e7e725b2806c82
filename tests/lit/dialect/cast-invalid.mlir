// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @cast_c1(%a: tensor<4xf32>) {
  // expected-error @+1 {{(c1) input and result must have the same shape}}
  %0 = tw.cast %a : tensor<4xf32> to tensor<5xi32>
  return
}
