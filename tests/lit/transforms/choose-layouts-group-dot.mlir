// RUN: tw-opt %s --split-input-file --tw-choose-layouts | FileCheck %s

// A weight of bfloat16 is packed in words of two neighbours along the summed dimension; rows are read in pairs where
// they lie.

#target = #tw.target<kind = "cpu", cpu = "znver4", features = "", facts = {group_bf16 = 2 : i64, group_i8 = 4 : i64}>
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>

// CHECK: #[[$WORDS:.*]] = affine_map<(d0, d1, d2) -> (d1 floordiv 32, d2, d1 mod 32)>
// CHECK: #[[$EVEN:.*]] = affine_map<(d0, d1, d2) -> (d0, d2 * 2)>
// CHECK: #[[$ODD:.*]] = affine_map<(d0, d1, d2) -> (d0, d2 * 2 + 1)>
module attributes {tw.target = #target} {
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[A:[a-z0-9]+]]: tensor<4x64xbf16>
// CHECK-SAME: %[[W:[a-z0-9]+]]: tensor<4x32x32xi32> {{.*}}tw.packed_by = "load_0"
// CHECK: linalg.generic {indexing_maps = [#[[$WORDS]], #[[$EVEN]], #[[$ODD]]
// CHECK-SAME: ins(%[[W]], %[[A]], %[[A]]
// CHECK-SAME: tw.group_dot
// CHECK: %[[DOT:.*]] = rt.group_dot {{.*}} : i32 -> f32
// CHECK: arith.addf {{.*}}, %[[DOT]] fastmath<reassoc>
func.func @main(%a: tensor<4x64xbf16>, %w: tensor<64x100xbf16> {tw.weight = "w"}, %f: tensor<4x100xf32>) -> tensor<4x100xf32> {
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %w : tensor<4x64xbf16>, tensor<64x100xbf16>) outs(%f : tensor<4x100xf32>) {
  ^bb0(%x: bf16, %y: bf16, %acc: f32):
    %xf = arith.extf %x : bf16 to f32
    %yf = arith.extf %y : bf16 to f32
    %p = arith.mulf %xf, %yf : f32
    %s = arith.addf %acc, %p fastmath<reassoc> : f32
    linalg.yield %s : f32
  } -> tensor<4x100xf32>
  return %r : tensor<4x100xf32>
}
// CHECK-LABEL: func.func @load_0(
// CHECK-SAME: %[[RAW:.*]]: tensor<64x100xbf16>) -> tensor<4x32x32xi32>
// CHECK: tensor.pad %[[RAW]]
// CHECK: arith.shli
// CHECK: arith.ori
}

// -----

// Signed bytes: the packed operand is offset by 128, which the sums of rows correct; rows of odd length are padded.

#target = #tw.target<kind = "cpu", cpu = "znver4", features = "", facts = {group_bf16 = 2 : i64, group_i8 = 4 : i64}>
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>

module attributes {tw.target = #target} {
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[A:[a-z0-9]+]]: tensor<64x65xi8>
// CHECK: arith.xori
// CHECK: %[[ROWS:.*]] = tensor.pad %[[A]]
// CHECK: tensor<64x65xi8> to tensor<64x68xi8>
// CHECK: %[[PRODUCTS:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %[[ROWS]], %[[ROWS]], %[[ROWS]], %[[ROWS]]
// CHECK: rt.group_dot {{.*}} : i32 -> i32
// CHECK: %[[SUMS:.*]] = linalg.generic {{.*}} ins(%[[A]] : {{.*}}tw.partial
// CHECK: arith.extsi
// CHECK: linalg.generic {{.*}} ins(%[[PRODUCTS]], %[[SUMS]]
// CHECK: arith.muli
// CHECK: arith.subi
func.func @main(%a: tensor<64x65xi8>, %b: tensor<65x100xi8>, %f: tensor<64x100xi32>) -> tensor<64x100xi32> {
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %b : tensor<64x65xi8>, tensor<65x100xi8>) outs(%f : tensor<64x100xi32>) {
  ^bb0(%x: i8, %y: i8, %acc: i32):
    %xw = arith.extsi %x : i8 to i32
    %yw = arith.extsi %y : i8 to i32
    %p = arith.muli %xw, %yw : i32
    %s = arith.addi %acc, %p : i32
    linalg.yield %s : i32
  } -> tensor<64x100xi32>
  return %r : tensor<64x100xi32>
}
}

// -----

// Must not fire: the target has no such instruction.

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>

module attributes {tw.target = #tw.target<kind = "cpu", cpu = "haswell", features = "", facts = {group_bf16 = 1 : i64, group_i8 = 1 : i64}>} {
// CHECK-LABEL: func.func @main
// CHECK-NOT: group_dot
// CHECK: tw.packed_by = "load_0"
// CHECK: arith.mulf
func.func @main(%a: tensor<4x64xbf16>, %w: tensor<64x100xbf16> {tw.weight = "w"}, %f: tensor<4x100xf32>) -> tensor<4x100xf32> {
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %w : tensor<4x64xbf16>, tensor<64x100xbf16>) outs(%f : tensor<4x100xf32>) {
  ^bb0(%x: bf16, %y: bf16, %acc: f32):
    %xf = arith.extf %x : bf16 to f32
    %yf = arith.extf %y : bf16 to f32
    %p = arith.mulf %xf, %yf : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<4x100xf32>
  return %r : tensor<4x100xf32>
}
}
