// RUN: tw-opt %s --pass-pipeline="builtin.module(func.func(tw-tile-and-fuse))" | FileCheck %s

// Panels that a kernel dequantises for itself are whole, although the last of the 50 columns is the 18th of its panel:
// the panel before has 32.

#panel = affine_map<(p, k, c) -> (p, k, c)>
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (n floordiv 32, k, n mod 32)>
#c = affine_map<(m, n, k) -> (m, n)>
#make = #tw.config<workgroup = [], tile = [0, 1, 0], lane = 2, vector = 16, unroll = 2, lowering = "vector">
#multiply = #tw.config<workgroup = [0, 128, 0], tile = [5, 32, 0], lane = 1, vector = 16, unroll = 2, lowering = "vector">

// CHECK-LABEL: func.func private @columns
// CHECK: scf.for
// CHECK: tensor.extract_slice %{{.*}}[0, %{{.*}}, 0] [2, 1, 32] [1, 1, 1] : tensor<2x64x32xi8>
// CHECK: arith.sitofp
// CHECK: scf.for
// CHECK: arith.mulf
func.func private @columns(%q: tensor<2x64x32xi8>, %x: tensor<5x64xf32>, %out: tensor<5x50xf32>) -> tensor<5x50xf32>
    attributes {tw.kernel} {
  %empty = tensor.empty() : tensor<2x64x32xf32>
  %w = linalg.generic {indexing_maps = [#panel, #panel], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%q : tensor<2x64x32xi8>) outs(%empty : tensor<2x64x32xf32>) attrs = {tw.config = #make, tw.panel} {
  ^bb0(%in: i8, %o: f32):
    %f = arith.sitofp %in : i8 to f32
    linalg.yield %f : f32
  } -> tensor<2x64x32xf32>
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<5x64xf32>, tensor<2x64x32xf32>) outs(%out : tensor<5x50xf32>) attrs = {tw.config = #multiply} {
  ^bb0(%l: f32, %s: f32, %acc: f32):
    %p = arith.mulf %l, %s : f32
    %sum = arith.addf %acc, %p fastmath<reassoc> : f32
    linalg.yield %sum : f32
  } -> tensor<5x50xf32>
  return %r : tensor<5x50xf32>
}
