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

#lhs = affine_map<(m, n, k) -> (m, k)>
#rhs = affine_map<(m, n, k) -> (k, n)>
#res = affine_map<(m, n, k) -> (m, n)>
#plain = #tw.config<workgroup = [0, 32, 0], tile = [12, 32, 0], lane = 1, vector = 16, unroll = 2, lowering = "vector">

// Each task copies its columns to rows of its own, four at a time, and its register tiles read the copy.
// CHECK-LABEL: func.func @packed
// CHECK:         scf.forall
// CHECK:           tensor.empty(%{{.*}}) : tensor<1x70x?xf32>
// CHECK:           scf.for
// CHECK:             linalg.generic {{.*}} outs(%{{.*}} : tensor<1x4x32xf32>)
// CHECK:             linalg.generic {{.*}} outs(%{{.*}} : tensor<1x2x32xf32>)
// CHECK:             linalg.generic {{.*}} outs(%{{.*}} : tensor<1x4x8xf32>)
// CHECK:             linalg.generic {{.*}} outs(%{{.*}} : tensor<1x2x8xf32>)
// CHECK:           scf.for
// CHECK:             linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<12x70xf32>, tensor<1x70x32xf32>)
// CHECK-SAME:          outs(%{{.*}} : tensor<12x32xf32>)
// CHECK:             linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<12x70xf32>, tensor<1x70x8xf32>)
// CHECK-SAME:          outs(%{{.*}} : tensor<12x8xf32>)
// CHECK:           linalg.generic {{.*}} outs(%{{.*}} : tensor<2x32xf32>)
// CHECK:           linalg.generic {{.*}} outs(%{{.*}} : tensor<2x8xf32>)
func.func @packed(%a: tensor<50x70xf32>, %b: tensor<70x200xf32>, %out: tensor<50x200xf32>) -> tensor<50x200xf32> attributes {tw.kernel} {
  %r = linalg.generic {indexing_maps = [#lhs, #rhs, #res], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %b : tensor<50x70xf32>, tensor<70x200xf32>) outs(%out : tensor<50x200xf32>) attrs = {tw.config = #plain, tw.pack = array<i64: 1>} {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<50x200xf32>
  return %r : tensor<50x200xf32>
}

// Must not fire: nothing is to be packed.
// CHECK-LABEL: func.func @unpacked
// CHECK-NOT:     tensor.empty
// CHECK:         return
func.func @unpacked(%a: tensor<50x70xf32>, %b: tensor<70x200xf32>, %out: tensor<50x200xf32>) -> tensor<50x200xf32> attributes {tw.kernel} {
  %r = linalg.generic {indexing_maps = [#lhs, #rhs, #res], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %b : tensor<50x70xf32>, tensor<70x200xf32>) outs(%out : tensor<50x200xf32>) attrs = {tw.config = #plain} {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<50x200xf32>
  return %r : tensor<50x200xf32>
}
