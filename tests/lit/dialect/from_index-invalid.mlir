// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @from_index_c1(%i: index) {
  // expected-error @+1 {{result #0 must be 0D tensor of 64-bit signless integer}}
  %0 = "tw.from_index"(%i) : (index) -> tensor<i32>
  return
}
