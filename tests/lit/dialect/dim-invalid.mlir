// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @dim_c1(%x: tensor<?x4xf32>) {
  // expected-error @+1 {{(c1) axis 2 is not a dimension}}
  %0 = tw.dim %x axis = 2 : tensor<?x4xf32>
  return
}
