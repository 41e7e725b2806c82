// RUN: tw-opt %s --pass-pipeline='builtin.module(func.func(tw-split-reductions{chunk=8 rows=4 columns=16}))' --split-input-file | FileCheck %s

// All elements to one: chunks give partial results, what does not fill one initialises their combination.
// CHECK-LABEL: func @total
// CHECK-SAME:    %[[X:.*]]: tensor<23xf32>, %[[INIT:.*]]: tensor<f32>
// CHECK:         %[[MAIN:.*]] = tensor.extract_slice %[[X]][0] [16] [1]
// CHECK:         %[[CHUNKS:.*]] = tensor.expand_shape %[[MAIN]] {{.*}} into tensor<2x8xf32>
// CHECK:         linalg.fill ins(%cst : f32)
// CHECK:         %[[PARTIAL:.*]] = linalg.generic {{.*}} iterator_types = ["parallel", "reduction"]
// CHECK-SAME:      ins(%[[CHUNKS]] : tensor<2x8xf32>) outs(%{{.*}} : tensor<2xf32>) attrs = {tw.partial}
// CHECK:         %[[REST:.*]] = tensor.extract_slice %[[X]][16] [7] [1]
// CHECK:         %[[TAIL:.*]] = linalg.generic {{.*}} ins(%[[REST]] : tensor<7xf32>) outs(%[[INIT]]
// CHECK:         linalg.generic {{.*}} iterator_types = ["reduction"]{{.*}} ins(%[[PARTIAL]] : tensor<2xf32>) outs(%[[TAIL]]
// CHECK:           arith.addf %out, %in fastmath<reassoc,contract>
func.func @total(%x: tensor<23xf32>, %init: tensor<f32>) -> tensor<f32> {
  %r = linalg.generic {indexing_maps = [affine_map<(k) -> (k)>, affine_map<(k) -> ()>], iterator_types = ["reduction"]}
      ins(%x : tensor<23xf32>) outs(%init : tensor<f32>) {
  ^bb0(%a: f32, %acc: f32):
    %q = arith.mulf %a, %a : f32
    %s = arith.addf %acc, %q fastmath<reassoc,contract> : f32
    linalg.yield %s : f32
  } -> tensor<f32>
  return %r : tensor<f32>
}

// -----

// Chunks of rows where the results lie side by side; two of their trips fill a chunk, and divide the loop.
// CHECK-LABEL: func @columns
// CHECK:         tensor.expand_shape {{.*}} into tensor<3x2x4xf32>
// CHECK:         linalg.generic {{.*}} iterator_types = ["parallel", "reduction", "parallel"]
// CHECK-SAME:      outs(%{{.*}} : tensor<3x4xf32>)
// CHECK-NOT:     tensor.extract_slice
// CHECK:         linalg.generic {{.*}} iterator_types = ["reduction", "parallel"]{{.*}} ins(%{{.*}} : tensor<3x4xf32>)
func.func @columns(%x: tensor<6x4xf32>, %init: tensor<4xf32>) -> tensor<4xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(k, n) -> (k, n)>, affine_map<(k, n) -> (n)>], iterator_types = ["reduction", "parallel"]}
      ins(%x : tensor<6x4xf32>) outs(%init : tensor<4xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.maximumf %acc, %a : f32
    linalg.yield %s : f32
  } -> tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

// A size that is known only at run time: the number of chunks is, too.
// CHECK-LABEL: func @dynamic
// CHECK:         affine.apply #{{.*}}()[%
// CHECK:         tensor.expand_shape {{.*}} into tensor<?x8xi32>
// CHECK:         linalg.generic {{.*}} outs(%{{.*}} : tensor<?xi32>) attrs = {tw.partial}
func.func @dynamic(%x: tensor<?xi32>, %init: tensor<i32>) -> tensor<i32> {
  %r = linalg.generic {indexing_maps = [affine_map<(k) -> (k)>, affine_map<(k) -> ()>], iterator_types = ["reduction"]}
      ins(%x : tensor<?xi32>) outs(%init : tensor<i32>) {
  ^bb0(%a: i32, %acc: i32):
    %s = arith.addi %acc, %a : i32
    linalg.yield %s : i32
  } -> tensor<i32>
  return %r : tensor<i32>
}

// -----

// Must not fire: an order that the program fixes, rows enough to share, and less than two chunks.
// CHECK-LABEL: func @unsplit
// CHECK-NOT:     tw.partial
func.func @unsplit(%x: tensor<64xf32>, %y: tensor<4x64xf32>, %z: tensor<15xf32>, %i: tensor<f32>, %j: tensor<4xf32>) -> (tensor<f32>, tensor<4xf32>, tensor<f32>) {
  %r = linalg.generic {indexing_maps = [affine_map<(k) -> (k)>, affine_map<(k) -> ()>], iterator_types = ["reduction"]}
      ins(%x : tensor<64xf32>) outs(%i : tensor<f32>) {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.addf %acc, %a : f32
    linalg.yield %s : f32
  } -> tensor<f32>
  %s = linalg.generic {indexing_maps = [affine_map<(m, k) -> (m, k)>, affine_map<(m, k) -> (m)>], iterator_types = ["parallel", "reduction"]}
      ins(%y : tensor<4x64xf32>) outs(%j : tensor<4xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %t = arith.addf %acc, %a fastmath<reassoc> : f32
    linalg.yield %t : f32
  } -> tensor<4xf32>
  %t = linalg.generic {indexing_maps = [affine_map<(k) -> (k)>, affine_map<(k) -> ()>], iterator_types = ["reduction"]}
      ins(%z : tensor<15xf32>) outs(%i : tensor<f32>) {
  ^bb0(%a: f32, %acc: f32):
    %u = arith.addf %acc, %a fastmath<reassoc> : f32
    linalg.yield %u : f32
  } -> tensor<f32>
  return %r, %s, %t : tensor<f32>, tensor<4xf32>, tensor<f32>
}

// -----

// Must not fire: the results lie along memory rows; that an input has one element for each of them changes nothing.
// CHECK-LABEL: func @around_mean
// CHECK-NOT:     tw.partial
func.func @around_mean(%x: tensor<8x64xf32>, %mean: tensor<8xf32>, %init: tensor<8xf32>) -> tensor<8xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(m, k) -> (m, k)>, affine_map<(m, k) -> (m)>, affine_map<(m, k) -> (m)>], iterator_types = ["parallel", "reduction"]}
      ins(%x, %mean : tensor<8x64xf32>, tensor<8xf32>) outs(%init : tensor<8xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %d = arith.subf %a, %b : f32
    %s = arith.addf %acc, %d fastmath<reassoc> : f32
    linalg.yield %s : f32
  } -> tensor<8xf32>
  return %r : tensor<8xf32>
}

// -----

// A diagonal uses the loop twice: a chunk of it is no slice of the operand, so it stays whole.
// CHECK-LABEL: func @trace
// CHECK-NOT:     tensor.extract_slice
// CHECK-NOT:     tensor.expand_shape
// CHECK:         linalg.generic {{.*}} iterator_types = ["reduction"]
// CHECK-NOT:     linalg.generic
func.func @trace(%x: tensor<64x64xf32>, %init: tensor<f32>) -> tensor<f32> {
  %r = linalg.generic {indexing_maps = [affine_map<(k) -> (k, k)>, affine_map<(k) -> ()>], iterator_types = ["reduction"]}
      ins(%x : tensor<64x64xf32>) outs(%init : tensor<f32>) {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.addf %acc, %a fastmath<reassoc,contract> : f32
    linalg.yield %s : f32
  } -> tensor<f32>
  return %r : tensor<f32>
}
