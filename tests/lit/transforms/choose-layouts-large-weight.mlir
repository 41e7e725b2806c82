// RUN: tw-opt %s --tw-choose-layouts --canonicalize | FileCheck %s

// Of a large weight only the columns that fill no whole panel are padded; the others are read where they lie.

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (n, k)>
#c = affine_map<(m, n, k) -> (m, n)>

// CHECK-LABEL: func.func @load_0
// CHECK-SAME:    (%[[W:.*]]: tensor<6000x768xf32>) -> tensor<188x768x32xf32>
// CHECK:         %[[ALL:.*]] = tensor.empty() : tensor<188x768x32xf32>
// CHECK:         %[[WHOLE:.*]] = tensor.extract_slice %[[W]][0, 0] [5984, 768]
// CHECK:         %[[PANELS:.*]] = tensor.expand_shape %[[WHOLE]]
// CHECK:         %[[TO:.*]] = tensor.extract_slice %[[ALL]][0, 0, 0] [187, 768, 32]
// CHECK:         linalg.generic {{.*}} ins(%[[PANELS]] : tensor<187x32x768xf32>) outs(%[[TO]]
// CHECK:         %[[REST:.*]] = tensor.extract_slice %[[W]][5984, 0] [16, 768]
// CHECK:         tensor.pad %[[REST]] low[0, 0] high[16, 0]
// CHECK:         tensor.insert_slice {{.*}}[187, 0, 0] [1, 768, 32]
func.func @main(%a: tensor<?x768xf32>, %w: tensor<6000x768xf32> {tw.weight = "w"}, %f: tensor<?x6000xf32>) -> tensor<?x6000xf32> {
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %w : tensor<?x768xf32>, tensor<6000x768xf32>) outs(%f : tensor<?x6000xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<?x6000xf32>
  return %r : tensor<?x6000xf32>
}
