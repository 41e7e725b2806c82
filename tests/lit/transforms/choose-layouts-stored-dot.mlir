// RUN: tw-opt %s --split-input-file --tw-choose-layouts | FileCheck %s

// A row that was rounded to bytes meets nibbles: words of both, integers inside a group, the two scales outside. What was
// added at each step besides, a minimum, is added four times at a step that stands for four.

#target = #tw.target<kind = "cpu", cpu = "znver4", features = "", facts = {group_bf16 = 2 : i64, group_i8 = 4 : i64}>
#row = affine_map<(m, g, k) -> (m, g, k)>
#group = affine_map<(m, g, k) -> (m, g)>
#x = affine_map<(m, n, g, h, k) -> (m, g, h, k)>
#q = affine_map<(m, n, g, h, k) -> (n, g, k)>
#s = affine_map<(m, n, g, h, k) -> (n, g)>
#t = affine_map<(m, n, g, h, k) -> (m, g)>
#y = affine_map<(m, n, g, h, k) -> (m, n)>

// CHECK-DAG: #[[$WORDS:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d1 floordiv 32, d2, d4, d1 mod 32)>
// CHECK-DAG: #[[$ROW:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d2, d3, d4)>
module attributes {tw.target = #target} {
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[W:[a-z0-9]+]]: tensor<2x3x4x32xi32> {tw.name = "w", tw.packed_by = "load_0"
// CHECK: %[[BYTES:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<5x3x32xi8>)
// CHECK: linalg.generic {{.*}} ins(%[[BYTES]], %[[BYTES]], %[[BYTES]], %[[BYTES]]
// CHECK-SAME: outs(%{{.*}} : tensor<5x3x8xi32>)
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<5x3xf32>)
// CHECK: %[[WORDS:.*]] = tensor.expand_shape {{.*}} into tensor<5x3x2x4xi32>
// CHECK: linalg.generic {indexing_maps = [#[[$ROW]], #[[$WORDS]]
// CHECK-SAME: ins(%[[WORDS]], %[[W]]
// CHECK-SAME: tw.group_dot
// CHECK: ^bb0(%[[A:.*]]: i32, %[[B:.*]]: i32,
// CHECK: %[[SHIFTED:.*]] = arith.shrui
// CHECK: %[[NIBBLES:.*]] = arith.constant 252645135 : i32
// CHECK: %[[INTS:.*]] = arith.andi %[[SHIFTED]], %[[NIBBLES]]
// CHECK: %[[SUM:.*]] = rt.group_dot %[[INTS]], %[[A]] : i32 -> i32
// CHECK: arith.sitofp %[[SUM]] : i32 to f32
// CHECK: %[[FOUR:.*]] = arith.constant 4.000000e+00 : f32
// CHECK: arith.mulf %{{.*}}, %[[FOUR]]
// CHECK: arith.addf
func.func @main(%xq: tensor<5x3x32xi8>, %xs: tensor<5x3xf32>, %w: tensor<40x3x16xi8> {tw.weight = "w"},
                %d: tensor<40x3xf32> {tw.weight = "d"}, %mean: tensor<5x3xf32>, %out: tensor<5x40xf32>) -> tensor<5x40xf32> {
  %empty = tensor.empty() : tensor<5x3x32xf32>
  %rounded = linalg.generic {indexing_maps = [#row, #group, #row], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%xq, %xs : tensor<5x3x32xi8>, tensor<5x3xf32>) outs(%empty : tensor<5x3x32xf32>) {
  ^bb0(%byte: i8, %scale: f32, %o: f32):
    %wide = arith.extsi %byte : i8 to i32
    %f = arith.sitofp %wide : i32 to f32
    %p = arith.mulf %f, %scale : f32
    linalg.yield %p : f32
  } -> tensor<5x3x32xf32>
  %x = tensor.expand_shape %rounded [[0], [1], [2, 3]] output_shape [5, 3, 2, 16] : tensor<5x3x32xf32> into tensor<5x3x2x16xf32>
  %r = linalg.generic {indexing_maps = [#x, #q, #s, #t, #y],
      iterator_types = ["parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w, %d, %mean : tensor<5x3x2x16xf32>, tensor<40x3x16xi8>, tensor<40x3xf32>, tensor<5x3xf32>)
      outs(%out : tensor<5x40xf32>) {
  ^bb0(%a: f32, %byte: i8, %scale: f32, %part: f32, %acc: f32):
    %c4 = arith.constant 4 : i32
    %c15 = arith.constant 15 : i32
    %wide = arith.extui %byte : i8 to i32
    %half = linalg.index 3 : index
    %number = arith.index_cast %half : index to i32
    %shift = arith.muli %number, %c4 : i32
    %shifted = arith.shrui %wide, %shift : i32
    %bits = arith.andi %shifted, %c15 : i32
    %f = arith.uitofp %bits : i32 to f32
    %xs0 = arith.mulf %a, %scale fastmath<reassoc> : f32
    %p = arith.mulf %xs0, %f fastmath<reassoc> : f32
    %t = arith.mulf %part, %scale fastmath<reassoc> : f32
    %both = arith.addf %p, %t fastmath<reassoc> : f32
    %sum = arith.addf %acc, %both fastmath<reassoc> : f32
    linalg.yield %sum : f32
  } -> tensor<5x40xf32>
  return %r : tensor<5x40xf32>
}
}

// -----

// Must not fire: bits that are kept after the shift would be those of a neighbour.

#target = #tw.target<kind = "cpu", cpu = "znver4", features = "", facts = {group_bf16 = 2 : i64, group_i8 = 4 : i64}>
#row = affine_map<(m, g, k) -> (m, g, k)>
#group = affine_map<(m, g, k) -> (m, g)>
#x = affine_map<(m, n, g, k) -> (m, g, k)>
#q = affine_map<(m, n, g, k) -> (n, g, k)>
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
  %r = linalg.generic {indexing_maps = [#x, #q, #s, #y],
      iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
      ins(%rounded, %w, %d : tensor<5x3x32xf32>, tensor<40x3x32xi8>, tensor<40x3xf32>) outs(%out : tensor<5x40xf32>) {
  ^bb0(%a: f32, %byte: i8, %scale: f32, %acc: f32):
    %c6 = arith.constant 6 : i32
    %c15 = arith.constant 15 : i32
    %wide = arith.extui %byte : i8 to i32
    %shifted = arith.shrui %wide, %c6 : i32
    %bits = arith.andi %shifted, %c15 : i32
    %f = arith.uitofp %bits : i32 to f32
    %xs0 = arith.mulf %a, %scale fastmath<reassoc> : f32
    %p = arith.mulf %xs0, %f fastmath<reassoc> : f32
    %sum = arith.addf %acc, %p fastmath<reassoc> : f32
    linalg.yield %sum : f32
  } -> tensor<5x40xf32>
  return %r : tensor<5x40xf32>
}
}
