// RUN: tw-opt %s --tw-vectorize --canonicalize --split-input-file | FileCheck %s

#cfg = #tw.config<workgroup = [], tile = [], lane = 1, vector = 4, unroll = 2, lowering = "vector">

// An operand that lies across the lanes is read in squares, which are turned in registers: four loads, two steps of
// shuffles, four stores. Rows and lanes that fill no square are moved one by one.
// CHECK-LABEL: func @turn
// CHECK:         scf.for {{.*}} step %c4
// CHECK:           scf.for {{.*}} step %c4
// CHECK-COUNT-4:     vector.transfer_read %arg0
// CHECK:             vector.shuffle %{{.*}}, %{{.*}} [0, 1, 4, 5]
// CHECK:             vector.shuffle %{{.*}}, %{{.*}} [2, 3, 6, 7]
// CHECK-COUNT-2:     vector.shuffle
// CHECK:             vector.shuffle %{{.*}}, %{{.*}} [0, 4, 2, 6]
// CHECK:             vector.shuffle %{{.*}}, %{{.*}} [1, 5, 3, 7]
// CHECK-COUNT-2:     vector.shuffle
// CHECK-NOT:         tensor.extract
// CHECK-COUNT-4:     arith.addf {{.*}} : vector<4xf32>
// CHECK:           scf.for {{.*}} step %c1
// CHECK:             tensor.extract
func.func @turn(%x: tensor<?x?xf32>, %y: tensor<?x?xf32>, %out: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %r = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (n, m)>, affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%x, %y : tensor<?x?xf32>, tensor<?x?xf32>) outs(%out : tensor<?x?xf32>) attrs = {tw.config = #cfg} {
  ^bb0(%a: f32, %b: f32, %old: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<?x?xf32>
  return %r : tensor<?x?xf32>
}

// -----

#cfg = #tw.config<workgroup = [], tile = [], lane = 1, vector = 4, unroll = 2, lowering = "vector">

// Must not fire: too few rows for a square.
// CHECK-LABEL: func @too_few
// CHECK-NOT:     vector.shuffle
// CHECK:         vector.from_elements
func.func @too_few(%x: tensor<?x3xf32>, %out: tensor<3x?xf32>) -> tensor<3x?xf32> {
  %r = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (n, m)>, affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<?x3xf32>) outs(%out : tensor<3x?xf32>) attrs = {tw.config = #cfg} {
  ^bb0(%a: f32, %old: f32):
    linalg.yield %a : f32
  } -> tensor<3x?xf32>
  return %r : tensor<3x?xf32>
}
