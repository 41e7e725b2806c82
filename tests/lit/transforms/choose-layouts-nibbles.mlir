// RUN: tw-opt %s --split-input-file --tw-choose-layouts | FileCheck %s

// Bytes of two numbers each are packed in words of four bytes. A contraction gets a loop over the bytes of a word, before
// the one over the words; what else ran along the bytes is viewed so. Words hold bytes that are larger by 128.

#target = #tw.target<kind = "cpu", cpu = "znver4", features = "", facts = {vector_bits = 512 : i64}>
#x = affine_map<(m, n, g, h, k) -> (m, g, h, k)>
#q = affine_map<(m, n, g, h, k) -> (n, g, k)>
#s = affine_map<(m, n, g, h, k) -> (n, g)>
#y = affine_map<(m, n, g, h, k) -> (m, n)>

// CHECK-DAG: #[[$X:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d2, d3, d5, d4)>
// CHECK-DAG: #[[$WORDS:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d1 floordiv 32, d2, d5, d1 mod 32)>
module attributes {tw.target = #target} {
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[ROWS:[a-z0-9]+]]: tensor<5x3x2x16xf32>
// CHECK-SAME: %[[W:[a-z0-9]+]]: tensor<2x3x4x32xi32> {tw.name = "w", tw.packed_by = "load_0"
// CHECK: %[[VIEW:.*]] = tensor.expand_shape %[[ROWS]] {{.*}} into tensor<5x3x2x4x4xf32>
// CHECK: linalg.generic {indexing_maps = [#[[$X]], #[[$WORDS]]
// CHECK-SAME: "reduction", "reduction", "reduction", "reduction"]}
// CHECK-SAME: ins(%[[VIEW]], %[[W]]
// CHECK: ^bb0(%{{.*}}: f32, %[[WORD:.*]]: i32,
// CHECK: %[[BYTE:.*]] = linalg.index 4
// CHECK: %[[FLIP:.*]] = arith.constant -2139062144 : i32
// CHECK: %[[STORED:.*]] = arith.xori %[[WORD]], %[[FLIP]]
// CHECK: %[[NUMBER:.*]] = arith.index_cast %[[BYTE]]
// CHECK: %[[BITS:.*]] = arith.constant 8 : i32
// CHECK: %[[BY:.*]] = arith.muli %[[NUMBER]], %[[BITS]]
// CHECK: %[[LOW:.*]] = arith.shrui %[[STORED]], %[[BY]]
// CHECK: %[[SHIFTED:.*]] = arith.shrui %[[LOW]]
// CHECK: arith.andi %[[SHIFTED]]
// CHECK-LABEL: func.func @load_0
func.func @main(%x: tensor<5x3x2x16xf32>, %w: tensor<40x3x16xi8> {tw.weight = "w"}, %d: tensor<40x3xf32> {tw.weight = "d"},
                %out: tensor<5x40xf32>) -> tensor<5x40xf32> {
  %r = linalg.generic {indexing_maps = [#x, #q, #s, #y],
      iterator_types = ["parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w, %d : tensor<5x3x2x16xf32>, tensor<40x3x16xi8>, tensor<40x3xf32>) outs(%out : tensor<5x40xf32>) {
  ^bb0(%a: f32, %byte: i8, %scale: f32, %acc: f32):
    %c4 = arith.constant 4 : i32
    %c15 = arith.constant 15 : i32
    %half = linalg.index 3 : index
    %wide = arith.extui %byte : i8 to i32
    %number = arith.index_cast %half : index to i32
    %shift = arith.muli %number, %c4 : i32
    %shifted = arith.shrui %wide, %shift : i32
    %nibble = arith.andi %shifted, %c15 : i32
    %f = arith.sitofp %nibble : i32 to f32
    %v = arith.mulf %f, %scale : f32
    %p = arith.mulf %a, %v : f32
    %s = arith.addf %acc, %p fastmath<reassoc> : f32
    linalg.yield %s : f32
  } -> tensor<5x40xf32>
  return %r : tensor<5x40xf32>
}
}

// -----

// What writes panels of floats for many rows keeps its loop over the bytes, and reads the word that a byte lies in: the
// weight is laid out once for all programs of a model.

#target = #tw.target<kind = "cpu", cpu = "znver4", features = "", facts = {vector_bits = 512 : i64}>
#q = affine_map<(n, g, h, k) -> (n, g, k)>
#f = affine_map<(n, g, h, k) -> (n, g, h, k)>
#x = affine_map<(m, n, g, h, k) -> (m, g, h, k)>
#w = affine_map<(m, n, g, h, k) -> (n, g, h, k)>
#y = affine_map<(m, n, g, h, k) -> (m, n)>

// CHECK: #[[$WORD:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d3 floordiv 4, d4)>
module attributes {tw.target = #target} {
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[W:[a-z0-9]+]]: tensor<2x3x4x32xi32> {tw.name = "w", tw.packed_by = "load_0"
// CHECK: linalg.generic {indexing_maps = [#[[$WORD]], {{.*}} ins(%[[W]] : tensor<2x3x4x32xi32>) outs(%{{.*}} : tensor<2x3x2x16x32xf32>)
// CHECK: ^bb0(%[[IN:.*]]: i32, %{{.*}}: f32):
// CHECK: %[[K:.*]] = linalg.index 3
// CHECK: %[[AT:.*]] = arith.remui %[[K]]
// CHECK: arith.xori %[[IN]]
// CHECK: arith.index_cast %[[AT]]
// CHECK: arith.shrui
func.func @main(%x: tensor<64x3x2x16xf32>, %w: tensor<40x3x16xi8> {tw.weight = "w"}, %out: tensor<64x40xf32>) -> tensor<64x40xf32> {
  %empty = tensor.empty() : tensor<40x3x2x16xf32>
  %floats = linalg.generic {indexing_maps = [#q, #f], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%w : tensor<40x3x16xi8>) outs(%empty : tensor<40x3x2x16xf32>) attrs = {tw.panel} {
  ^bb0(%byte: i8, %o: f32):
    %c4 = arith.constant 4 : i32
    %c15 = arith.constant 15 : i32
    %half = linalg.index 2 : index
    %wide = arith.extui %byte : i8 to i32
    %number = arith.index_cast %half : index to i32
    %shift = arith.muli %number, %c4 : i32
    %shifted = arith.shrui %wide, %shift : i32
    %nibble = arith.andi %shifted, %c15 : i32
    %f = arith.sitofp %nibble : i32 to f32
    linalg.yield %f : f32
  } -> tensor<40x3x2x16xf32>
  %r = linalg.generic {indexing_maps = [#x, #w, #y],
      iterator_types = ["parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %floats : tensor<64x3x2x16xf32>, tensor<40x3x2x16xf32>) outs(%out : tensor<64x40xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<64x40xf32>
  return %r : tensor<64x40xf32>
}
}

// -----

// Must not fire: a byte that is one number is widened where it is loaded; and bits of a neighbour would count where a mask
// keeps more than a byte has left after the shift.

#target = #tw.target<kind = "cpu", cpu = "znver4", features = "", facts = {vector_bits = 512 : i64}>
#x = affine_map<(m, n, k) -> (m, k)>
#q = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>

module attributes {tw.target = #target} {
// CHECK-LABEL: func.func @main
// CHECK-SAME: tensor<2x16x32xi8>
// CHECK-SAME: tensor<2x16x32xi8>
// CHECK-NOT: i32 {tw.name
func.func @main(%x: tensor<5x16xf32>, %w: tensor<40x16xi8> {tw.weight = "w"}, %v: tensor<40x16xi8> {tw.weight = "v"},
                %out: tensor<5x40xf32>) -> (tensor<5x40xf32>, tensor<5x40xf32>) {
  %r = linalg.generic {indexing_maps = [#x, #q, #y], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<5x16xf32>, tensor<40x16xi8>) outs(%out : tensor<5x40xf32>) {
  ^bb0(%a: f32, %byte: i8, %acc: f32):
    %c127 = arith.constant 127 : i32
    %wide = arith.extui %byte : i8 to i32
    %low = arith.andi %wide, %c127 : i32
    %f = arith.sitofp %low : i32 to f32
    %p = arith.mulf %a, %f : f32
    %s = arith.addf %acc, %p fastmath<reassoc> : f32
    linalg.yield %s : f32
  } -> tensor<5x40xf32>
  %t = linalg.generic {indexing_maps = [#x, #q, #y], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %v : tensor<5x16xf32>, tensor<40x16xi8>) outs(%out : tensor<5x40xf32>) {
  ^bb0(%a: f32, %byte: i8, %acc: f32):
    %c4 = arith.constant 4 : i32
    %c31 = arith.constant 31 : i32
    %wide = arith.extui %byte : i8 to i32
    %shifted = arith.shrui %wide, %c4 : i32
    %high = arith.andi %shifted, %c31 : i32
    %f = arith.sitofp %high : i32 to f32
    %p = arith.mulf %a, %f : f32
    %s = arith.addf %acc, %p fastmath<reassoc> : f32
    linalg.yield %s : f32
  } -> tensor<5x40xf32>
  return %r, %t : tensor<5x40xf32>, tensor<5x40xf32>
}
}

// -----

// Must not fire: with shorter registers bytes are widened one by one.

#x = affine_map<(m, n, k) -> (m, k)>
#q = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>

module attributes {tw.target = #tw.target<kind = "cpu", cpu = "haswell", features = "", facts = {vector_bits = 256 : i64}>} {
// CHECK-LABEL: func.func @main
// CHECK-SAME: tensor<2x16x32xi8> {tw.name
func.func @main(%x: tensor<5x16xf32>, %w: tensor<40x16xi8> {tw.weight = "w"}, %out: tensor<5x40xf32>) -> tensor<5x40xf32> {
  %r = linalg.generic {indexing_maps = [#x, #q, #y], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<5x16xf32>, tensor<40x16xi8>) outs(%out : tensor<5x40xf32>) {
  ^bb0(%a: f32, %byte: i8, %acc: f32):
    %c4 = arith.constant 4 : i32
    %c15 = arith.constant 15 : i32
    %wide = arith.extui %byte : i8 to i32
    %shifted = arith.shrui %wide, %c4 : i32
    %high = arith.andi %shifted, %c15 : i32
    %f = arith.sitofp %high : i32 to f32
    %p = arith.mulf %a, %f : f32
    %s = arith.addf %acc, %p fastmath<reassoc> : f32
    linalg.yield %s : f32
  } -> tensor<5x40xf32>
  return %r : tensor<5x40xf32>
}
}
