// RUN: tw-opt %s --pass-pipeline='builtin.module(func.func(tw-tile-and-fuse,tw-peel),canonicalize,cse)' | FileCheck %s

// Workgroup tiles become scf.forall, register tiles scf.for; after peeling the main loop's tiles are whole.

#id = affine_map<(n) -> (n)>
#chunk = #tw.config<workgroup = [1024], tile = [64], lane = 0, vector = 16, unroll = 4, lowering = "vector">
#fused = #tw.config<workgroup = [], tile = [], lane = 0, vector = 16, unroll = 4, lowering = "vector">

// CHECK-LABEL: func.func @kernel
// CHECK:         scf.forall
// CHECK:           scf.for
// CHECK:             linalg.generic {{.*}} outs(%{{.*}} : tensor<64xf32>)
// CHECK:               math.exp
// CHECK:             linalg.generic {{.*}} outs(%{{.*}} : tensor<64xf32>)
// CHECK:               math.sqrt
// CHECK:           scf.for
// CHECK:             linalg.generic {{.*}} outs(%{{.*}} : tensor<?xf32>)
func.func @kernel(%x: tensor<?xf32>, %out: tensor<?xf32>) -> tensor<?xf32> attributes {tw.kernel} {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?xf32>
  %e = tensor.empty(%n) : tensor<?xf32>
  %a = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%x : tensor<?xf32>) outs(%e : tensor<?xf32>) attrs = {tw.config = #fused} {
  ^bb0(%v: f32, %o: f32):
    %t = math.exp %v : f32
    linalg.yield %t : f32
  } -> tensor<?xf32>
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%a : tensor<?xf32>) outs(%out : tensor<?xf32>) attrs = {tw.config = #chunk} {
  ^bb0(%v: f32, %o: f32):
    %t = math.sqrt %v : f32
    linalg.yield %t : f32
  } -> tensor<?xf32>
  return %r : tensor<?xf32>
}

// Must not fire: without a config nothing is tiled.
// CHECK-LABEL: func.func @plain
// CHECK-NOT:     scf.for
func.func @plain(%x: tensor<8xf32>, %out: tensor<8xf32>) -> tensor<8xf32> attributes {tw.kernel} {
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%x : tensor<8xf32>) outs(%out : tensor<8xf32>) {
  ^bb0(%v: f32, %o: f32):
    %t = math.exp %v : f32
    linalg.yield %t : f32
  } -> tensor<8xf32>
  return %r : tensor<8xf32>
}
