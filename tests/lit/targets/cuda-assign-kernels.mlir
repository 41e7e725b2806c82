// RUN: tw-opt %s --pass-pipeline='builtin.module(func.func(tw-cuda-assign-kernels))' | FileCheck %s

// A config decides; what was marked as ordered stays with one thread, but for running totals, and so does what has no config.
// CHECK-LABEL: func private @kernel_0
// CHECK:         linalg.generic
// CHECK-SAME:      tw.lowering = "rows", tw.tile = array<i64: 32, 16>
// CHECK:         linalg.generic
// CHECK-SAME:      tw.lowering = "points"
// CHECK:         linalg.fill {tw.lowering = "points"}
#row = affine_map<(d0, d1) -> (d0, d1)>
#first = affine_map<(d0, d1) -> (d0)>
#rows = #tw.config<workgroup = [], tile = [32, 16], lane = -1, vector = 1, unroll = 1, lowering = "rows">
func.func private @kernel_0(%x: tensor<4x64xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) attributes {tw.kernel} {
  %zero = arith.constant 0.0 : f32
  %sum = linalg.generic {indexing_maps = [#row, #first], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<4x64xf32>) outs(%y : tensor<4xf32>) attrs = {tw.config = #rows} {
  ^bb0(%in: f32, %out: f32):
    %s = arith.addf %in, %out : f32
    linalg.yield %s : f32
  } -> tensor<4xf32>
  %ordered = linalg.generic {indexing_maps = [#row, #first], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<4x64xf32>) outs(%y : tensor<4xf32>) attrs = {tw.config = #rows, tw.lowering = "loops"} {
  ^bb0(%in: f32, %out: f32):
    %s = arith.addf %in, %out : f32
    linalg.yield %s : f32
  } -> tensor<4xf32>
  %filled = linalg.fill ins(%zero : f32) outs(%y : tensor<4xf32>) -> tensor<4xf32>
  return %sum, %ordered, %filled : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}

// CHECK-LABEL: func private @running
// CHECK:         tw.lowering = "runs", tw.tile = array<i64: 32>
#runs = #tw.config<workgroup = [], tile = [32], lane = -1, vector = 1, unroll = 1, lowering = "runs">
func.func private @running(%x: tensor<4x64xf32>, %y: tensor<4x64xf32>, %t: tensor<4xf32>) -> tensor<4x64xf32> attributes {tw.kernel} {
  %sums:2 = linalg.generic {indexing_maps = [#row, #row, #first], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<4x64xf32>) outs(%y, %t : tensor<4x64xf32>, tensor<4xf32>) attrs = {tw.config = #runs, tw.lowering = "loops"} {
  ^bb0(%in: f32, %out: f32, %total: f32):
    %s = arith.addf %total, %in : f32
    linalg.yield %s, %s : f32, f32
  } -> (tensor<4x64xf32>, tensor<4xf32>)
  return %sums#0 : tensor<4x64xf32>
}
