// RUN: tw-opt %s --tw-vectorize --canonicalize --split-input-file | FileCheck %s

#cfg = #tw.config<workgroup = [], tile = [4, 32, 0], lane = 1, vector = 16, unroll = 2, lowering = "vector">

// The epilogue works on the accumulators: nothing is written between the reduction and the result.
// CHECK-LABEL: func @bias_relu
// CHECK-SAME:    %[[BIAS:[a-z0-9]+]]: tensor<32xf32>, %[[OUT:[a-z0-9]+]]: tensor<4x32xf32>
// CHECK-NOT:     tensor.empty
// CHECK:         %[[ACC:.*]]:8 = scf.for
// CHECK-NOT:     transfer_write
// CHECK:         %[[B0:.*]] = vector.transfer_read %[[BIAS]][%c0]
// CHECK:         %[[SUM:.*]] = arith.addf %[[ACC]]#0, %[[B0]]
// CHECK:         %[[MAX:.*]] = arith.maximumf %[[SUM]]
// CHECK:         vector.transfer_write %[[MAX]], %[[OUT]][%c0, %c0]
// CHECK-NOT:     transfer_read %{{.*}} tensor<4x32xf32>
// CHECK:         arith.addf %[[ACC]]#7
func.func @bias_relu(%a: tensor<4x?xf32>, %b: tensor<?x32xf32>, %bias: tensor<32xf32>, %out: tensor<4x32xf32>) -> tensor<4x32xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x32xf32>
  %init = linalg.fill {tw.config = #cfg} ins(%zero : f32) outs(%empty : tensor<4x32xf32>) -> tensor<4x32xf32>
  %c = linalg.matmul {tw.config = #cfg} ins(%a, %b : tensor<4x?xf32>, tensor<?x32xf32>) outs(%init : tensor<4x32xf32>) -> tensor<4x32xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (n)>, affine_map<(m, n) -> (m, n)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%c, %bias : tensor<4x32xf32>, tensor<32xf32>) outs(%out : tensor<4x32xf32>) attrs = {tw.config = #cfg} {
  ^bb0(%x: f32, %y: f32, %old: f32):
    %s = arith.addf %x, %y : f32
    %t = arith.maximumf %s, %zero : f32
    linalg.yield %t : f32
  } -> tensor<4x32xf32>
  return %r : tensor<4x32xf32>
}

// -----

#cfg = #tw.config<workgroup = [], tile = [], lane = 1, vector = 16, unroll = 2, lowering = "vector">

// Must not fire: the consumer reads the tile transposed, so no write matches and the tile stays in memory.
// CHECK-LABEL: func @transposed_reader
// CHECK:         vector.transfer_write
// CHECK:         scf.for
// CHECK-COUNT-16:  vector.transfer_read {{.*}} : tensor<?x16xf32>, vector<16xf32>
func.func @transposed_reader(%x: tensor<?x16xf32>, %t: tensor<?x16xf32>, %out: tensor<16x?xf32>) -> (tensor<?x16xf32>, tensor<16x?xf32>) {
  %e = linalg.exp {tw.config = #cfg} ins(%x : tensor<?x16xf32>) outs(%t : tensor<?x16xf32>) -> tensor<?x16xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (n, m)>, affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]}
      ins(%e : tensor<?x16xf32>) outs(%out : tensor<16x?xf32>) attrs = {tw.config = #cfg} {
  ^bb0(%a: f32, %old: f32):
    linalg.yield %a : f32
  } -> tensor<16x?xf32>
  return %e, %r : tensor<?x16xf32>, tensor<16x?xf32>
}
