// RUN: tw-opt %s --tw-choose-layouts | FileCheck %s

// A weight that a contraction reads is packed by @load_0; @main takes the panels and reads them through floordiv and mod.

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (n, k)>
#c = affine_map<(m, n, k) -> (m, n)>

// CHECK-DAG:   #[[$P:.*]] = affine_map<(d0, d1, d2) -> (d1 floordiv 32, d2, d1 mod 32)>
// CHECK-LABEL: func.func @main
// CHECK-SAME:    %[[A:[a-z0-9]*]]: tensor<?x64xf32>, %{{.*}}: tensor<?x100xf32>, %[[W:[a-z0-9]*]]: tensor<4x64x32xf32> {tw.name = "w", tw.packed_by = "load_0", tw.sources = [1], tw.weight = "w"}
// CHECK:         linalg.generic {indexing_maps = [#{{.*}}, #[[$P]], #{{.*}}]
// CHECK-SAME:      ins(%[[A]], %[[W]]
// CHECK-LABEL: func.func @load_0
// CHECK-SAME:    (%{{.*}}: tensor<100x64xf32>) -> tensor<4x64x32xf32> attributes {tw.load}
func.func @main(%a: tensor<?x64xf32>, %w: tensor<100x64xf32> {tw.weight = "w"}, %f: tensor<?x100xf32>) -> tensor<?x100xf32> {
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %w : tensor<?x64xf32>, tensor<100x64xf32>) outs(%f : tensor<?x100xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<?x100xf32>
  return %r : tensor<?x100xf32>
}
