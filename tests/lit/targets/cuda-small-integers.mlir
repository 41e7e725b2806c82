// RUN: tw-opt %s --tw-cuda-small-integers --split-input-file | FileCheck %s

// The high half of the second byte of a word, less eight: bits 12 to 15 count 4096 each.
// CHECK-LABEL: func @nibble
// CHECK-SAME:    (%[[WORD:.*]]: i32)
// CHECK-DAG:     %[[MASK:.*]] = arith.constant 61440 : i32
// CHECK-DAG:     %[[ONES:.*]] = arith.constant 1258291200 : i32
// CHECK:         %[[RAISED:.*]] = llvm.inline_asm {{.*}}lop3.b32{{.*}} %[[WORD]], %[[MASK]], %[[ONES]]
// CHECK:         %[[FLOAT:.*]] = arith.bitcast %[[RAISED]] : i32 to f32
// CHECK:         llvm.intr.fma(%[[FLOAT]], {{.*}}, {{.*}})
// CHECK-NOT:     arith.sitofp
func.func @nibble(%word: i32) -> f32 {
  %four = arith.constant 4 : i32
  %eight = arith.constant 8 : i32
  %fifteen = arith.constant 15 : i32
  %shifted = arith.shrui %word, %eight : i32
  %byte = arith.trunci %shifted : i32 to i8
  %wide = arith.extui %byte : i8 to i32
  %high = arith.shrui %wide, %four : i32
  %kept = arith.andi %high, %fifteen : i32
  %centred = arith.subi %kept, %eight : i32
  %float = arith.sitofp %centred : i32 to f32
  return %float : f32
}

// -----

// A signed byte is an unsigned one, flipped, less 128; the last of a word comes down by half of it.
// CHECK-LABEL: func @signed_byte
// CHECK:         arith.shrui %{{.*}}, %c16_i32
// CHECK:         lop3.b32
// CHECK:         llvm.intr.fma
// CHECK-NOT:     arith.sitofp
func.func @signed_byte(%word: i32) -> f32 {
  %by = arith.constant 24 : i32
  %shifted = arith.shrui %word, %by : i32
  %byte = arith.trunci %shifted : i32 to i8
  %wide = arith.extsi %byte : i8 to i32
  %float = arith.sitofp %wide : i32 to f32
  return %float : f32
}

// -----

// A sum of two fields is a field of its own: it has five bits.
// CHECK-LABEL: func @five_bits
// CHECK:         lop3.b32
// CHECK:         arith.subf
// CHECK-NOT:     arith.sitofp
func.func @five_bits(%low: i8, %high: i8) -> f32 {
  %fifteen = arith.constant 15 : i32
  %one = arith.constant 1 : i32
  %sixteen = arith.constant 16 : i32
  %a = arith.extui %low : i8 to i32
  %b = arith.extui %high : i8 to i32
  %c = arith.andi %a, %fifteen : i32
  %d = arith.andi %b, %one : i32
  %e = arith.muli %d, %sixteen : i32
  %f = arith.addi %c, %e : i32
  %float = arith.sitofp %f : i32 to f32
  return %float : f32
}

// -----

// Numbers that may need all bits of a significand, and negative ones that are read as large ones, are converted.
// CHECK-LABEL: func @not_small
// CHECK:         arith.sitofp
// CHECK:         arith.uitofp
// CHECK-NOT:     lop3.b32
func.func @not_small(%word: i32, %byte: i8) -> (f32, f32) {
  %eight = arith.constant 8 : i32
  %shifted = arith.shrui %word, %eight : i32
  %first = arith.sitofp %shifted : i32 to f32
  %wide = arith.extui %byte : i8 to i32
  %less = arith.subi %wide, %eight : i32
  %second = arith.uitofp %less : i32 to f32
  return %first, %second : f32, f32
}
