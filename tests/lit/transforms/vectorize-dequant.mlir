// RUN: tw-opt %s --tw-vectorize --canonicalize | FileCheck %s

#cfg = #tw.config<workgroup = [], tile = [], lane = 1, vector = 16, unroll = 2, lowering = "vector">

// One row times a Q4_1 panel. Scales and minimums are converted once per group; both nibbles come from one load; two
// panels, two nibbles and two steps of j make eight accumulators.
// CHECK-LABEL: func @q4_1_panel
// CHECK-SAME:    %[[X:[a-z0-9]+]]: tensor<1x?x2x16xf32>, %[[Q:[a-z0-9]+]]: tensor<1x?x16x32xi8>, %[[D:[a-z0-9]+]]: tensor<1x?x32xf16>
// CHECK:         scf.for %[[G:[a-z0-9]+]] = {{.*}} step %c1 iter_args
// CHECK:           vector.transfer_read %[[D]][%c0, %[[G]], %c0]
// CHECK:           arith.extf {{.*}} : vector<16xf16> to vector<16xf32>
// CHECK:           scf.for %[[J:[a-z0-9]+]] = {{.*}} step %c2 iter_args
// CHECK-NOT:         arith.extf
// CHECK:             tensor.extract %[[X]][%c0, %[[G]], %c0, %[[J]]] : tensor<1x?x2x16xf32>
// CHECK-COUNT-4:     vector.transfer_read %[[Q]]
// CHECK-NOT:         vector.transfer_read
// CHECK:             scf.yield
// CHECK:         vector.transfer_write
func.func @q4_1_panel(%x: tensor<1x?x2x16xf32>, %q: tensor<1x?x16x32xi8>, %d: tensor<1x?x32xf16>, %m: tensor<1x?x32xf16>,
                      %out: tensor<1x32xf32>) -> tensor<1x32xf32> {
  %c4 = arith.constant 4 : i32
  %c15 = arith.constant 15 : i32
  %r = linalg.generic {
      indexing_maps = [affine_map<(m, n, g, h, j) -> (m, g, h, j)>, affine_map<(m, n, g, h, j) -> (n floordiv 32, g, j, n mod 32)>,
                       affine_map<(m, n, g, h, j) -> (n floordiv 32, g, n mod 32)>,
                       affine_map<(m, n, g, h, j) -> (n floordiv 32, g, n mod 32)>, affine_map<(m, n, g, h, j) -> (m, n)>],
      iterator_types = ["parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %q, %d, %m : tensor<1x?x2x16xf32>, tensor<1x?x16x32xi8>, tensor<1x?x32xf16>, tensor<1x?x32xf16>)
      outs(%out : tensor<1x32xf32>) attrs = {tw.config = #cfg} {
  ^bb0(%a: f32, %byte: i8, %scale: f16, %min: f16, %acc: f32):
    %h = linalg.index 3 : index
    %half = arith.index_cast %h : index to i32
    %shift = arith.muli %half, %c4 : i32
    %wide = arith.extui %byte : i8 to i32
    %moved = arith.shrui %wide, %shift : i32
    %nibble = arith.andi %moved, %c15 : i32
    %f = arith.uitofp %nibble : i32 to f32
    %scale32 = arith.extf %scale : f16 to f32
    %min32 = arith.extf %min : f16 to f32
    %scaled = arith.mulf %f, %scale32 fastmath<contract> : f32
    %w = arith.addf %scaled, %min32 fastmath<contract> : f32
    %p = arith.mulf %a, %w fastmath<contract> : f32
    %s = arith.addf %acc, %p fastmath<contract> : f32
    linalg.yield %s : f32
  } -> tensor<1x32xf32>
  return %r : tensor<1x32xf32>
}
