// RUN: tw-opt %s --tw-choose-layouts --split-input-file | FileCheck %s

// A weight is packed through a reshape of its rows (groups of a quantised one); the panels are reshaped in its place.

#a = affine_map<(m, n, g, k) -> (m, g, k)>
#b = affine_map<(m, n, g, k) -> (n, g, k)>
#c = affine_map<(m, n, g, k) -> (m, n)>

// CHECK-DAG:   #[[$P:.*]] = affine_map<(d0, d1, d2, d3) -> (d1 floordiv 32, d2, d3, d1 mod 32)>
// CHECK-LABEL: func.func @main
// CHECK-SAME:    %[[W:[^:]*]]: tensor<2x64x32xf32> {tw.name = "w"
// CHECK:         %[[V:.*]] = tensor.expand_shape %[[W]] {{\[\[}}0], [1, 2], [3]] output_shape [2, 4, 16, 32]
// CHECK:         linalg.generic {indexing_maps = [#{{.*}}, #[[$P]], #{{.*}}]
// CHECK-SAME:      ins(%{{.*}}, %[[V]] :
// CHECK-LABEL: func.func @load_0
// CHECK-SAME:    (%{{.*}}: tensor<48x64xf32>) -> tensor<2x64x32xf32>
func.func @main(%a: tensor<?x4x16xf32>, %w: tensor<48x64xf32> {tw.weight = "w"}, %f: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %v = tensor.expand_shape %w [[0], [1, 2]] output_shape [48, 4, 16] : tensor<48x64xf32> into tensor<48x4x16xf32>
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
      ins(%a, %v : tensor<?x4x16xf32>, tensor<48x4x16xf32>) outs(%f : tensor<?x48xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<?x48xf32>
  return %r : tensor<?x48xf32>
}

// -----

// Dimensions that a reshape merges are one dimension of the panels, too.

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>

// CHECK-LABEL: func.func @main
// CHECK-SAME:    %[[W:[^:]*]]: tensor<2x4x16x32xf32> {tw.name = "w"
// CHECK:         tensor.collapse_shape %[[W]] {{\[\[}}0], [1, 2], [3]] : tensor<2x4x16x32xf32> into tensor<2x64x32xf32>
func.func @main(%a: tensor<?x64xf32>, %w: tensor<4x16x48xf32> {tw.weight = "w"}, %f: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %v = tensor.collapse_shape %w [[0, 1], [2]] : tensor<4x16x48xf32> into tensor<64x48xf32>
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %v : tensor<?x64xf32>, tensor<64x48xf32>) outs(%f : tensor<?x48xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<?x48xf32>
  return %r : tensor<?x48xf32>
}

// -----

// Must not fire: columns that a reshape makes of two dimensions cannot be cut in the weight itself.

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (n, k)>
#c = affine_map<(m, n, k) -> (m, n)>

// CHECK-LABEL: func.func @main
// CHECK-SAME:    %[[W:[^:]*]]: tensor<6x8x64xf32> {tw.weight = "w"}
// CHECK:         tensor.collapse_shape %[[W]] {{\[\[}}0, 1], [2]]
// CHECK-NOT:   @load_0
func.func @main(%a: tensor<4x64xf32>, %w: tensor<6x8x64xf32> {tw.weight = "w"}, %f: tensor<4x48xf32>) -> tensor<4x48xf32> {
  %v = tensor.collapse_shape %w [[0, 1], [2]] : tensor<6x8x64xf32> into tensor<48x64xf32>
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %v : tensor<4x64xf32>, tensor<48x64xf32>) outs(%f : tensor<4x48xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<4x48xf32>
  return %r : tensor<4x48xf32>
}
