// RUN: tw-opt %s --split-input-file --tw-choose-layouts | FileCheck %s

// Integers that two bytes make: nibbles, and two bits above them in a byte that lies behind. Both are read in words of the
// same packed weight.

#target = #tw.target<kind = "cpu", cpu = "znver4", features = "", facts = {group_bf16 = 2 : i64, group_i8 = 4 : i64}>
#row = affine_map<(m, g, k) -> (m, g, k)>
#group = affine_map<(m, g, k) -> (m, g)>
#x = affine_map<(m, n, g, h, k) -> (m, g, h, k)>
#low = affine_map<(m, n, g, h, k) -> (n, g, k + 16)>
#high = affine_map<(m, n, g, h, k) -> (n, g, k + 32)>
#s = affine_map<(m, n, g, h, k) -> (n, g)>
#y = affine_map<(m, n, g, h, k) -> (m, n)>

// CHECK-DAG: #[[$LOW:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d1 floordiv 32, d2, d4 + 4, d1 mod 32)>
// CHECK-DAG: #[[$HIGH:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d1 floordiv 32, d2, d4 + 8, d1 mod 32)>
module attributes {tw.target = #target} {
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[W:[a-z0-9]+]]: tensor<2x3x12x32xi32> {tw.name = "w", tw.packed_by = "load_0"
// CHECK: linalg.generic {indexing_maps = [#{{.*}}, #[[$LOW]], #{{.*}}, #[[$HIGH]]
// CHECK-SAME: ins(%{{.*}}, %[[W]], %{{.*}}, %[[W]],
// CHECK-SAME: tw.group_dot
// CHECK: %[[NIBBLES:.*]] = arith.constant 252645135 : i32
// CHECK: %[[LOWBITS:.*]] = arith.andi %{{.*}}, %[[NIBBLES]]
// CHECK: %[[PAIRS:.*]] = arith.constant 50529027 : i32
// CHECK: %[[HIGHBITS:.*]] = arith.andi %{{.*}}, %[[PAIRS]]
// CHECK: %[[C16:.*]] = arith.constant 16 : i32
// CHECK: %[[ABOVE:.*]] = arith.muli %[[HIGHBITS]], %[[C16]]
// CHECK: %[[INTS:.*]] = arith.addi %[[LOWBITS]], %[[ABOVE]]
// CHECK: rt.group_dot %[[INTS]], %{{.*}} : i32 -> i32
func.func @main(%xq: tensor<5x3x32xi8>, %xs: tensor<5x3xf32>, %w: tensor<40x3x48xi8> {tw.weight = "w"},
                %d: tensor<40x3xf32> {tw.weight = "d"}, %out: tensor<5x40xf32>) -> tensor<5x40xf32> {
  %empty = tensor.empty() : tensor<5x3x32xf32>
  %rounded = linalg.generic {indexing_maps = [#row, #group, #row], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%xq, %xs : tensor<5x3x32xi8>, tensor<5x3xf32>) outs(%empty : tensor<5x3x32xf32>) {
  ^bb0(%byte: i8, %scale: f32, %o: f32):
    %f = arith.sitofp %byte : i8 to f32
    %p = arith.mulf %f, %scale : f32
    linalg.yield %p : f32
  } -> tensor<5x3x32xf32>
  %x = tensor.expand_shape %rounded [[0], [1], [2, 3]] output_shape [5, 3, 2, 16] : tensor<5x3x32xf32> into tensor<5x3x2x16xf32>
  %r = linalg.generic {indexing_maps = [#x, #low, #s, #high, #y],
      iterator_types = ["parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w, %d, %w : tensor<5x3x2x16xf32>, tensor<40x3x48xi8>, tensor<40x3xf32>, tensor<40x3x48xi8>)
      outs(%out : tensor<5x40xf32>) {
  ^bb0(%a: f32, %lowbyte: i8, %scale: f32, %highbyte: i8, %acc: f32):
    %c2 = arith.constant 2 : i32
    %c3 = arith.constant 3 : i32
    %c4 = arith.constant 4 : i32
    %c15 = arith.constant 15 : i32
    %c16 = arith.constant 16 : i32
    %half = linalg.index 3 : index
    %number = arith.index_cast %half : index to i32
    %wide = arith.extui %lowbyte : i8 to i32
    %shift = arith.muli %number, %c4 : i32
    %shifted = arith.shrui %wide, %shift : i32
    %bits = arith.andi %shifted, %c15 : i32
    %wideh = arith.extui %highbyte : i8 to i32
    %shifth = arith.muli %number, %c2 : i32
    %shiftedh = arith.shrui %wideh, %shifth : i32
    %bitsh = arith.andi %shiftedh, %c3 : i32
    %above = arith.muli %bitsh, %c16 : i32
    %sum6 = arith.addi %bits, %above : i32
    %f = arith.uitofp %sum6 : i32 to f32
    %xs0 = arith.mulf %a, %scale fastmath<reassoc> : f32
    %p = arith.mulf %xs0, %f fastmath<reassoc> : f32
    %sum = arith.addf %acc, %p fastmath<reassoc> : f32
    linalg.yield %sum : f32
  } -> tensor<5x40xf32>
  return %r : tensor<5x40xf32>
}
}

// -----

// A byte holds a bit for each of eight neighbours: four of them are spread over the bytes of a word. Byte h of word 4 has
// them, from bit 4 k on, where k counts words.

#target = #tw.target<kind = "cpu", cpu = "znver4", features = "", facts = {group_bf16 = 2 : i64, group_i8 = 4 : i64}>
#row = affine_map<(m, g, k) -> (m, g, k)>
#group = affine_map<(m, g, k) -> (m, g)>
#x = affine_map<(m, n, g, h, k) -> (m, g, h, k)>
#low = affine_map<(m, n, g, h, k) -> (n, g, h * 8 + k)>
#high = affine_map<(m, n, g, h, k) -> (n, g, h + 16)>
#s = affine_map<(m, n, g, h, k) -> (n, g)>
#y = affine_map<(m, n, g, h, k) -> (m, n)>

// CHECK-DAG: #[[$LOW:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d1 floordiv 32, d2, d3 * 2 + d4, d1 mod 32)>
// CHECK-DAG: #[[$HIGH:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d1 floordiv 32, d2, 4, d1 mod 32)>
module attributes {tw.target = #target} {
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[W:[a-z0-9]+]]: tensor<2x3x5x32xi32> {tw.name = "w", tw.packed_by = "load_0"
// CHECK: linalg.generic {indexing_maps = [#{{.*}}, #[[$LOW]], #{{.*}}, #[[$HIGH]]
// CHECK-SAME: ins(%{{.*}}, %[[W]], %{{.*}}, %[[W]],
// CHECK-SAME: tw.group_dot
// CHECK: linalg.index 3
// CHECK: arith.constant 8 : i32
// CHECK: linalg.index 4
// CHECK: arith.constant 4 : i32
// CHECK: %[[DOWN:.*]] = arith.shrui
// CHECK: %[[FOUR:.*]] = arith.andi %[[DOWN]], %{{.*}}
// CHECK: %[[SPREAD:.*]] = arith.constant 2113665 : i32
// CHECK: %[[APART:.*]] = arith.muli %[[FOUR]], %[[SPREAD]]
// CHECK: %[[ONES:.*]] = arith.constant 16843009 : i32
// CHECK: arith.andi %[[APART]], %[[ONES]]
// CHECK: rt.group_dot
func.func @main(%xq: tensor<5x3x32xi8>, %xs: tensor<5x3xf32>, %w: tensor<40x3x20xi8> {tw.weight = "w"},
                %d: tensor<40x3xf32> {tw.weight = "d"}, %out: tensor<5x40xf32>) -> tensor<5x40xf32> {
  %empty = tensor.empty() : tensor<5x3x16xf32>
  %first = tensor.extract_slice %xq[0, 0, 0] [5, 3, 16] [1, 1, 1] : tensor<5x3x32xi8> to tensor<5x3x16xi8>
  %rounded = linalg.generic {indexing_maps = [#row, #group, #row], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%first, %xs : tensor<5x3x16xi8>, tensor<5x3xf32>) outs(%empty : tensor<5x3x16xf32>) {
  ^bb0(%byte: i8, %scale: f32, %o: f32):
    %f = arith.sitofp %byte : i8 to f32
    %p = arith.mulf %f, %scale : f32
    linalg.yield %p : f32
  } -> tensor<5x3x16xf32>
  %x = tensor.expand_shape %rounded [[0], [1], [2, 3]] output_shape [5, 3, 2, 8] : tensor<5x3x16xf32> into tensor<5x3x2x8xf32>
  %r = linalg.generic {indexing_maps = [#x, #low, #s, #high, #y],
      iterator_types = ["parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w, %d, %w : tensor<5x3x2x8xf32>, tensor<40x3x20xi8>, tensor<40x3xf32>, tensor<40x3x20xi8>)
      outs(%out : tensor<5x40xf32>) {
  ^bb0(%a: f32, %lowbyte: i8, %scale: f32, %highbyte: i8, %acc: f32):
    %c1 = arith.constant 1 : i32
    %c15 = arith.constant 15 : i32
    %c16 = arith.constant 16 : i32
    %step = linalg.index 4 : index
    %number = arith.index_cast %step : index to i32
    %wide = arith.extui %lowbyte : i8 to i32
    %bits = arith.andi %wide, %c15 : i32
    %wideh = arith.extui %highbyte : i8 to i32
    %shiftedh = arith.shrui %wideh, %number : i32
    %bit = arith.andi %shiftedh, %c1 : i32
    %above = arith.muli %bit, %c16 : i32
    %sum5 = arith.addi %bits, %above : i32
    %f = arith.uitofp %sum5 : i32 to f32
    %xs0 = arith.mulf %a, %scale fastmath<reassoc> : f32
    %p = arith.mulf %xs0, %f fastmath<reassoc> : f32
    %sum = arith.addf %acc, %p fastmath<reassoc> : f32
    linalg.yield %sum : f32
  } -> tensor<5x40xf32>
  return %r : tensor<5x40xf32>
}
}

// -----

// Must not fire: the sum of nibble and bits is more than a byte holds.

#target = #tw.target<kind = "cpu", cpu = "znver4", features = "", facts = {group_bf16 = 2 : i64, group_i8 = 4 : i64}>
#row = affine_map<(m, g, k) -> (m, g, k)>
#group = affine_map<(m, g, k) -> (m, g)>
#x = affine_map<(m, n, g, k) -> (m, g, k)>
#low = affine_map<(m, n, g, k) -> (n, g, k)>
#s = affine_map<(m, n, g, k) -> (n, g)>
#y = affine_map<(m, n, g, k) -> (m, n)>

module attributes {tw.target = #target} {
// CHECK-LABEL: func.func @main
// CHECK-NOT: group_dot
// CHECK: return
func.func @main(%xq: tensor<5x3x32xi8>, %xs: tensor<5x3xf32>, %w: tensor<40x3x32xi8> {tw.weight = "w"},
                %d: tensor<40x3xf32> {tw.weight = "d"}, %out: tensor<5x40xf32>) -> tensor<5x40xf32> {
  %empty = tensor.empty() : tensor<5x3x32xf32>
  %rounded = linalg.generic {indexing_maps = [#row, #group, #row], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%xq, %xs : tensor<5x3x32xi8>, tensor<5x3xf32>) outs(%empty : tensor<5x3x32xf32>) {
  ^bb0(%byte: i8, %scale: f32, %o: f32):
    %f = arith.sitofp %byte : i8 to f32
    %p = arith.mulf %f, %scale : f32
    linalg.yield %p : f32
  } -> tensor<5x3x32xf32>
  %r = linalg.generic {indexing_maps = [#x, #low, #s, #low, #y],
      iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
      ins(%rounded, %w, %d, %w : tensor<5x3x32xf32>, tensor<40x3x32xi8>, tensor<40x3xf32>, tensor<40x3x32xi8>)
      outs(%out : tensor<5x40xf32>) {
  ^bb0(%a: f32, %byte: i8, %scale: f32, %other: i8, %acc: f32):
    %c15 = arith.constant 15 : i32
    %c17 = arith.constant 17 : i32
    %wide = arith.extui %byte : i8 to i32
    %bits = arith.andi %wide, %c15 : i32
    %wideh = arith.extui %other : i8 to i32
    %bitsh = arith.andi %wideh, %c15 : i32
    %above = arith.muli %bitsh, %c17 : i32
    %sum8 = arith.addi %bits, %above : i32
    %f = arith.uitofp %sum8 : i32 to f32
    %xs0 = arith.mulf %a, %scale fastmath<reassoc> : f32
    %p = arith.mulf %xs0, %f fastmath<reassoc> : f32
    %sum = arith.addf %acc, %p fastmath<reassoc> : f32
    linalg.yield %sum : f32
  } -> tensor<5x40xf32>
  return %r : tensor<5x40xf32>
}
}
