// RUN: tw-opt %s --pass-pipeline='builtin.module(func.func(tw-tile-and-fuse),canonicalize,cse)' | FileCheck %s

#id = affine_map<(s, t) -> (s, t)>
#row = affine_map<(s, t) -> (s)>

// The maximum over what a causal mask lets through ends behind the tile's last row, at a multiple of 32.
// CHECK-DAG:   #[[$ROUND:.+]] = affine_map<()[s0] -> ((s0 floordiv 32) * 32 + 32)>
// CHECK-LABEL: func.func private @causal
// CHECK:         scf.forall (%[[S:[a-z0-9]+]]) = (0) to (512) step (8)
// CHECK:           %[[ROUNDED:.+]] = affine.apply #[[$ROUND]]
// CHECK:           %[[END:.+]] = arith.minsi %[[ROUNDED]], %c512
// CHECK:           tensor.extract_slice %{{.+}}[0, 0] [8, %[[END]]]
// CHECK:           arith.select
// CHECK:           linalg.generic {{.*}}iterator_types = ["parallel", "reduction"]} ins(%{{.+}} : tensor<8x?xf32>)
func.func private @causal(%x: tensor<512x512xf32>, %dest: tensor<512xf32>) -> tensor<512xf32> attributes {tw.kernel} {
  %low = arith.constant 0xFF800000 : f32
  %e = tensor.empty() : tensor<512x512xf32>
  %m = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<512x512xf32>) outs(%e : tensor<512x512xf32>)
      attrs = {tw.config = #tw.config<workgroup = [], tile = [], lane = 1, vector = 16, unroll = 2, lowering = "vector">} {
  ^bb0(%v: f32, %o: f32):
    %s = linalg.index 0 : index
    %t = linalg.index 1 : index
    %in = arith.cmpi sle, %t, %s : index
    %r = arith.select %in, %v, %low : f32
    linalg.yield %r : f32
  } -> tensor<512x512xf32>
  %f = linalg.fill ins(%low : f32) outs(%dest : tensor<512xf32>) -> tensor<512xf32>
  %max = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
      ins(%m : tensor<512x512xf32>) outs(%f : tensor<512xf32>)
      attrs = {tw.config = #tw.config<workgroup = [8, 0], tile = [], lane = 1, vector = 16, unroll = 4, lowering = "vector">} {
  ^bb0(%v: f32, %o: f32):
    %r = arith.maximumf %o, %v : f32
    linalg.yield %r : f32
  } -> tensor<512xf32>
  return %max : tensor<512xf32>
}

// Must not fire: a sum of what was masked with -inf is -inf.
// CHECK-LABEL: func.func private @sum
// CHECK-NOT:     arith.minsi
// CHECK:         linalg.generic {{.*}}iterator_types = ["parallel", "reduction"]} ins(%{{.+}} : tensor<8x512xf32>)
func.func private @sum(%x: tensor<512x512xf32>, %dest: tensor<512xf32>) -> tensor<512xf32> attributes {tw.kernel} {
  %low = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<512x512xf32>
  %m = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<512x512xf32>) outs(%e : tensor<512x512xf32>)
      attrs = {tw.config = #tw.config<workgroup = [], tile = [], lane = 1, vector = 16, unroll = 2, lowering = "vector">} {
  ^bb0(%v: f32, %o: f32):
    %s = linalg.index 0 : index
    %t = linalg.index 1 : index
    %in = arith.cmpi sle, %t, %s : index
    %r = arith.select %in, %v, %low : f32
    linalg.yield %r : f32
  } -> tensor<512x512xf32>
  %f = linalg.fill ins(%zero : f32) outs(%dest : tensor<512xf32>) -> tensor<512xf32>
  %sum = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
      ins(%m : tensor<512x512xf32>) outs(%f : tensor<512xf32>)
      attrs = {tw.config = #tw.config<workgroup = [8, 0], tile = [], lane = 1, vector = 16, unroll = 4, lowering = "vector">} {
  ^bb0(%v: f32, %o: f32):
    %r = arith.addf %o, %v : f32
    linalg.yield %r : f32
  } -> tensor<512xf32>
  return %sum : tensor<512xf32>
}

// Must not fire: bytes wrap, so that columns behind the bound come before it again.
// CHECK-LABEL: func.func private @bytes
// CHECK-NOT:     arith.minsi
// CHECK:         linalg.generic {{.*}}iterator_types = ["parallel", "reduction"]} ins(%{{.+}} : tensor<8x512xf32>)
func.func private @bytes(%x: tensor<512x512xf32>, %dest: tensor<512xf32>) -> tensor<512xf32> attributes {tw.kernel} {
  %low = arith.constant 0xFF800000 : f32
  %e = tensor.empty() : tensor<512x512xf32>
  %m = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<512x512xf32>) outs(%e : tensor<512x512xf32>)
      attrs = {tw.config = #tw.config<workgroup = [], tile = [], lane = 1, vector = 16, unroll = 2, lowering = "vector">} {
  ^bb0(%v: f32, %o: f32):
    %s = linalg.index 0 : index
    %t = linalg.index 1 : index
    %s8 = arith.index_cast %s : index to i8
    %t8 = arith.index_cast %t : index to i8
    %in = arith.cmpi sle, %t8, %s8 : i8
    %r = arith.select %in, %v, %low : f32
    linalg.yield %r : f32
  } -> tensor<512x512xf32>
  %f = linalg.fill ins(%low : f32) outs(%dest : tensor<512xf32>) -> tensor<512xf32>
  %max = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
      ins(%m : tensor<512x512xf32>) outs(%f : tensor<512xf32>)
      attrs = {tw.config = #tw.config<workgroup = [8, 0], tile = [], lane = 1, vector = 16, unroll = 4, lowering = "vector">} {
  ^bb0(%v: f32, %o: f32):
    %r = arith.maximumf %o, %v : f32
    linalg.yield %r : f32
  } -> tensor<512xf32>
  return %max : tensor<512xf32>
}

// Must not fire: what is subtracted changes along the row, and where it is -inf, too, the difference is NaN.
// CHECK-LABEL: func.func private @difference
// CHECK-NOT:     arith.minsi
// CHECK:         linalg.generic {{.*}}iterator_types = ["parallel", "reduction"]} ins(%{{.+}}, %{{.+}} : tensor<8x512xf32>
#column = affine_map<(s, t) -> (t)>
func.func private @difference(%x: tensor<512x512xf32>, %u: tensor<512xf32>, %dest: tensor<512xf32>) -> tensor<512xf32> attributes {tw.kernel} {
  %low = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<512x512xf32>
  %m = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<512x512xf32>) outs(%e : tensor<512x512xf32>)
      attrs = {tw.config = #tw.config<workgroup = [], tile = [], lane = 1, vector = 16, unroll = 2, lowering = "vector">} {
  ^bb0(%v: f32, %o: f32):
    %s = linalg.index 0 : index
    %t = linalg.index 1 : index
    %in = arith.cmpi sle, %t, %s : index
    %r = arith.select %in, %v, %low : f32
    linalg.yield %r : f32
  } -> tensor<512x512xf32>
  %f = linalg.fill ins(%zero : f32) outs(%dest : tensor<512xf32>) -> tensor<512xf32>
  %sum = linalg.generic {indexing_maps = [#id, #column, #row], iterator_types = ["parallel", "reduction"]}
      ins(%m, %u : tensor<512x512xf32>, tensor<512xf32>) outs(%f : tensor<512xf32>)
      attrs = {tw.config = #tw.config<workgroup = [8, 0], tile = [], lane = 1, vector = 16, unroll = 4, lowering = "vector">} {
  ^bb0(%v: f32, %w: f32, %o: f32):
    %d = arith.subf %v, %w : f32
    %p = math.exp %d : f32
    %r = arith.addf %o, %p : f32
    linalg.yield %r : f32
  } -> tensor<512xf32>
  return %sum : tensor<512xf32>
}
