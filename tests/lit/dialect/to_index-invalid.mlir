// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @to_index_c1(%x: tensor<1xi64>) {
  // expected-error @+1 {{operand #0 must be 0D tensor}}
  %0 = tw.to_index %x : tensor<1xi64>
  return
}
