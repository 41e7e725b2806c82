// RUN: tw-opt %s --tw-choose-layouts | FileCheck %s

// Must not fire: two rows do not pay for packing a computed operand on every call.

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>

// CHECK-NOT: floordiv
// CHECK-LABEL: func.func @main
// CHECK-NOT: linalg.transpose
func.func @main(%a: tensor<2x64xf32>, %w: tensor<64x512xf32>, %f: tensor<2x512xf32>) -> tensor<2x512xf32> {
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %w : tensor<2x64xf32>, tensor<64x512xf32>) outs(%f : tensor<2x512xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<2x512xf32>
  return %r : tensor<2x512xf32>
}
