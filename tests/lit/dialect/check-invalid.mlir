// RUN: tw-opt %s --split-input-file --verify-diagnostics

func.func @check_element(%p: tensor<1xi1>) {
  // expected-error @+1 {{operand #0 must be 0D tensor of boolean or 1-bit signless integer}}
  tw.check %p, "no" : tensor<1xi1>
  return
}
