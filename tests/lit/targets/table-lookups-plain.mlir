// RUN: tw-opt %s --tw-expand-math | FileCheck %s

// Without a permutation of sixteen lanes the arithmetic stays.
module attributes {tw.target = #tw.target<kind = "cpu", cpu = "haswell", features = "+avx2", facts = {}>} {
  // CHECK-LABEL: func @nibble
  // CHECK:         arith.sitofp
  // CHECK-NOT:     permvar
  func.func @nibble(%v: vector<16xi32>) -> vector<16xf32> {
    %c15 = arith.constant dense<15> : vector<16xi32>
    %0 = arith.andi %v, %c15 : vector<16xi32>
    %1 = arith.sitofp %0 : vector<16xi32> to vector<16xf32>
    return %1 : vector<16xf32>
  }
}
