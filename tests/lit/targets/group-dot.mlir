// RUN: tw-opt %s --tw-cpu-lower-vectors | FileCheck %s

// The addition belongs to the instruction, on either side.

// CHECK-LABEL: func.func @pairs
// CHECK: %[[L:.*]] = vector.bitcast %arg1 : vector<16xi32> to vector<32xbf16>
// CHECK: %[[R:.*]] = vector.bitcast %arg2 : vector<16xi32> to vector<32xbf16>
// CHECK: llvm.call_intrinsic "llvm.x86.avx512bf16.dpbf16ps.512"(%arg0, %[[L]], %[[R]])
// CHECK-NOT: arith.addf
func.func @pairs(%acc: vector<16xf32>, %l: vector<16xi32>, %r: vector<16xi32>) -> vector<16xf32> {
  %d = rt.group_dot %l, %r : vector<16xi32> -> vector<16xf32>
  %s = arith.addf %d, %acc : vector<16xf32>
  return %s : vector<16xf32>
}

// CHECK-LABEL: func.func @bytes
// CHECK: llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.256"(%arg0, {{.*}}) : (vector<8xi32>, vector<32xi8>, vector<32xi8>)
// CHECK-NOT: arith.addi
func.func @bytes(%acc: vector<8xi32>, %l: vector<8xi32>, %r: vector<8xi32>) -> vector<8xi32> {
  %d = rt.group_dot %l, %r : vector<8xi32> -> vector<8xi32>
  %s = arith.addi %acc, %d : vector<8xi32>
  return %s : vector<8xi32>
}

// A word alone, and a result that is used twice: no addition is taken.

// CHECK-LABEL: func.func @word
// CHECK: %[[D:.*]] = llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.128"
// CHECK: %[[X:.*]] = vector.extract %[[D]][0]
// CHECK: arith.addi %[[X]], %[[X]]
func.func @word(%l: i32, %r: i32) -> i32 {
  %d = rt.group_dot %l, %r : i32 -> i32
  %s = arith.addi %d, %d : i32
  return %s : i32
}
