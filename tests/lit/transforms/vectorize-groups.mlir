// RUN: tw-opt %s --tw-vectorize --canonicalize | FileCheck %s

#cfg = #tw.config<workgroup = [], tile = [], lane = 1, vector = 16, unroll = 2, lowering = "vector">

// One row times a Q4_0 panel: inside a group, integers are multiplied by the row only; the scale multiplies the sum.
// CHECK-LABEL: func @q4_0_panel
// CHECK-SAME:    %[[X:[a-z0-9]+]]: tensor<1x?x2x16xf32>, %[[Q:[a-z0-9]+]]: tensor<1x?x16x32xi8>, %[[D:[a-z0-9]+]]: tensor<1x?x32xf16>
// CHECK:         scf.for %[[G:[a-z0-9]+]] = {{.*}} step %c1 iter_args(%{{.*}} = %{{.*}}, %{{.*}} = %{{.*}}) -> (vector<16xf32>, vector<16xf32>)
// CHECK:           scf.for {{.*}} step %c4 iter_args
// CHECK-COUNT-16:    arith.mulf
// CHECK-NOT:         arith.mulf
// CHECK:             scf.yield
// CHECK:           %[[READ:.*]] = vector.transfer_read %[[D]][%c0, %[[G]], %c0]
// CHECK:           %[[S:.*]] = arith.extf %[[READ]]
// CHECK:           %[[P:.*]] = arith.mulf %[[S]], %{{.*}} fastmath<reassoc,contract>
// CHECK:           arith.addf %{{.*}}, %[[P]] fastmath<reassoc,contract>
func.func @q4_0_panel(%x: tensor<1x?x2x16xf32>, %q: tensor<1x?x16x32xi8>, %d: tensor<1x?x32xf16>,
                      %out: tensor<1x32xf32>) -> tensor<1x32xf32> {
  %c4 = arith.constant 4 : i32
  %c8 = arith.constant 8 : i32
  %c15 = arith.constant 15 : i32
  %r = linalg.generic {
      indexing_maps = [affine_map<(m, n, g, h, j) -> (m, g, h, j)>, affine_map<(m, n, g, h, j) -> (n floordiv 32, g, j, n mod 32)>,
                       affine_map<(m, n, g, h, j) -> (n floordiv 32, g, n mod 32)>, affine_map<(m, n, g, h, j) -> (m, n)>],
      iterator_types = ["parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %q, %d : tensor<1x?x2x16xf32>, tensor<1x?x16x32xi8>, tensor<1x?x32xf16>)
      outs(%out : tensor<1x32xf32>) attrs = {tw.config = #cfg} {
  ^bb0(%a: f32, %byte: i8, %scale: f16, %acc: f32):
    %h = linalg.index 3 : index
    %half = arith.index_cast %h : index to i32
    %shift = arith.muli %half, %c4 : i32
    %wide = arith.extui %byte : i8 to i32
    %moved = arith.shrui %wide, %shift : i32
    %nibble = arith.andi %moved, %c15 : i32
    %centred = arith.subi %nibble, %c8 : i32
    %f = arith.sitofp %centred : i32 to f32
    %scale32 = arith.extf %scale : f16 to f32
    %w = arith.mulf %scale32, %f fastmath<contract> : f32
    %p = arith.mulf %a, %w fastmath<contract> : f32
    %s = arith.addf %acc, %p fastmath<reassoc,contract> : f32
    linalg.yield %s : f32
  } -> tensor<1x32xf32>
  return %r : tensor<1x32xf32>
}

// Halves of a byte with scales of their own share what is read: their sums stand side by side in one loop.
// CHECK-LABEL: func @scale_per_half
// CHECK:         scf.for
// CHECK:           scf.for {{.*}} step %c4 iter_args
// CHECK-COUNT-8:     vector.transfer_read {{.*}} vector<16xi8>
// CHECK-NOT:         vector.transfer_read
// CHECK:             scf.yield
func.func @scale_per_half(%x: tensor<1x8x2x32xf32>, %q: tensor<1x8x32x32xi8>, %d: tensor<1x8x2x32xf32>,
                          %out: tensor<1x32xf32>) -> tensor<1x32xf32> {
  %c4 = arith.constant 4 : i32
  %c15 = arith.constant 15 : i32
  %r = linalg.generic {
      indexing_maps = [affine_map<(m, n, g, h, j) -> (m, g, h, j)>, affine_map<(m, n, g, h, j) -> (n floordiv 32, g, j, n mod 32)>,
                       affine_map<(m, n, g, h, j) -> (n floordiv 32, g, h, n mod 32)>, affine_map<(m, n, g, h, j) -> (m, n)>],
      iterator_types = ["parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %q, %d : tensor<1x8x2x32xf32>, tensor<1x8x32x32xi8>, tensor<1x8x2x32xf32>)
      outs(%out : tensor<1x32xf32>) attrs = {tw.config = #cfg} {
  ^bb0(%a: f32, %byte: i8, %scale: f32, %acc: f32):
    %h = linalg.index 3 : index
    %half = arith.index_cast %h : index to i32
    %shift = arith.muli %half, %c4 : i32
    %wide = arith.extui %byte : i8 to i32
    %moved = arith.shrui %wide, %shift : i32
    %nibble = arith.andi %moved, %c15 : i32
    %f = arith.uitofp %nibble : i32 to f32
    %w = arith.mulf %scale, %f fastmath<contract> : f32
    %p = arith.mulf %a, %w fastmath<contract> : f32
    %s = arith.addf %acc, %p fastmath<reassoc,contract> : f32
    linalg.yield %s : f32
  } -> tensor<1x32xf32>
  return %r : tensor<1x32xf32>
}

// A user's product of floats keeps its order.
// CHECK-LABEL: func @no_integers
// CHECK:         scf.for
// CHECK-COUNT-8:   arith.mulf
// CHECK:           scf.yield
// CHECK-NOT:     arith.mulf
// CHECK:         return
func.func @no_integers(%x: tensor<1x4x32xf32>, %w: tensor<4x32x16xf32>, %d: tensor<4x16xf32>,
                       %out: tensor<1x16xf32>) -> tensor<1x16xf32> {
  %r = linalg.generic {
      indexing_maps = [affine_map<(m, n, g, j) -> (m, g, j)>, affine_map<(m, n, g, j) -> (g, j, n)>,
                       affine_map<(m, n, g, j) -> (g, n)>, affine_map<(m, n, g, j) -> (m, n)>],
      iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
      ins(%x, %w, %d : tensor<1x4x32xf32>, tensor<4x32x16xf32>, tensor<4x16xf32>)
      outs(%out : tensor<1x16xf32>) attrs = {tw.config = #cfg} {
  ^bb0(%a: f32, %b: f32, %scale: f32, %acc: f32):
    %w1 = arith.mulf %scale, %b fastmath<contract> : f32
    %p = arith.mulf %a, %w1 fastmath<contract> : f32
    %s = arith.addf %acc, %p fastmath<reassoc,contract> : f32
    linalg.yield %s : f32
  } -> tensor<1x16xf32>
  return %r : tensor<1x16xf32>
}
