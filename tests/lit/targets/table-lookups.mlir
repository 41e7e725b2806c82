// RUN: tw-opt %s --tw-expand-math | FileCheck %s

// Sixteen floats are the low four bits of an integer, less eight: they fit a register.
module attributes {tw.target = #tw.target<kind = "cpu", cpu = "znver4", features = "+avx512f,+avx512vl", facts = {}>} {
  // CHECK-LABEL: func @nibble
  // CHECK-SAME:    %[[V:.*]]: vector<16xi32>
  // CHECK:         %[[T:.*]] = arith.constant dense<[-8.000000e+00, -7.000000e+00, {{.*}}, 7.000000e+00]> : vector<16xf32>
  // CHECK:         %[[R:.*]] = llvm.call_intrinsic "llvm.x86.avx512.permvar.sf.512"(%[[T]], %[[V]])
  // CHECK:         return %[[R]]
  func.func @nibble(%v: vector<16xi32>) -> vector<16xf32> {
    %c15 = arith.constant dense<15> : vector<16xi32>
    %c8 = arith.constant dense<8> : vector<16xi32>
    %0 = arith.andi %v, %c15 : vector<16xi32>
    %1 = arith.subi %0, %c8 : vector<16xi32>
    %2 = arith.sitofp %1 : vector<16xi32> to vector<16xf32>
    return %2 : vector<16xf32>
  }

  // The sign of four bits; the unsigned conversion sees large numbers instead.
  // CHECK-LABEL: func @sign_extended
  // CHECK:         arith.constant dense<[0.000000e+00, 1.000000e+00, {{.*}}, 7.000000e+00, -8.000000e+00, {{.*}}, -1.000000e+00]>
  func.func @sign_extended(%v: vector<16xi32>) -> vector<16xf32> {
    %c15 = arith.constant dense<15> : vector<16xi32>
    %c8 = arith.constant dense<8> : vector<16xi32>
    %0 = arith.andi %v, %c15 : vector<16xi32>
    %1 = arith.xori %0, %c8 : vector<16xi32>
    %2 = arith.subi %1, %c8 : vector<16xi32>
    %3 = arith.sitofp %2 : vector<16xi32> to vector<16xf32>
    return %3 : vector<16xf32>
  }

  // CHECK-LABEL: func @five_bits
  // CHECK:         arith.sitofp
  func.func @five_bits(%v: vector<16xi32>) -> vector<16xf32> {
    %c31 = arith.constant dense<31> : vector<16xi32>
    %0 = arith.andi %v, %c31 : vector<16xi32>
    %1 = arith.sitofp %0 : vector<16xi32> to vector<16xf32>
    return %1 : vector<16xf32>
  }
}

