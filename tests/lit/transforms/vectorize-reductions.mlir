// RUN: tw-opt %s --tw-vectorize --canonicalize --split-input-file | FileCheck %s

#row = #tw.config<workgroup = [], tile = [], lane = 1, vector = 16, unroll = 4, lowering = "vector">

// The maximum of a row: four partial vectors from minus infinity, one comparison each, and the lanes that have seen NaN,
// two vectors at a time; a remainder that leaves masked lanes alone; a tree.
// CHECK-LABEL: func @row_max
// CHECK-DAG:     %[[NINF:.*]] = arith.constant dense<0xFF800000> : vector<16xf32>
// CHECK-DAG:     %[[NONE:.*]] = arith.constant dense<false> : vector<16xi1>
// CHECK:         %[[MAIN:.*]]:5 = scf.for {{.*}} step %c64 iter_args(%{{.*}} = %[[NINF]], %{{.*}} = %[[NINF]], %{{.*}} = %[[NINF]], %{{.*}} = %[[NINF]], %[[SEEN:.*]] = %[[NONE]])
// CHECK:           arith.cmpf ogt, %[[X0:.*]], %{{.*}} : vector<16xf32>
// CHECK:           arith.cmpf ogt, %[[X1:.*]], %{{.*}} : vector<16xf32>
// CHECK:           %[[NAN:.*]] = arith.cmpf uno, %[[X1]], %[[X0]] : vector<16xf32>
// CHECK:           arith.ori %[[SEEN]], %[[NAN]]
// CHECK-COUNT-2:   arith.cmpf ogt
// CHECK:           arith.cmpf uno
// CHECK:         scf.for {{.*}} step %c16
// CHECK:         scf.for {{.*}} step %c16
// CHECK:           %[[MASK:.*]] = vector.create_mask
// CHECK:           %[[NEW:.*]] = arith.select
// CHECK:           arith.select %[[MASK]], %[[NEW]]
// CHECK:         %[[ANY:.*]] = vector.reduction <or>
// CHECK-COUNT-8: vector.shuffle
// CHECK:         %[[MAX:.*]] = arith.select %[[ANY]]
// CHECK:         tensor.insert %[[MAX]]
func.func @row_max(%x: tensor<1x?xf32>, %out: tensor<1xf32>) -> tensor<1xf32> {
  %ninf = arith.constant 0xFF800000 : f32
  %init = linalg.fill ins(%ninf : f32) outs(%out : tensor<1xf32>) -> tensor<1xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<1x?xf32>) outs(%init : tensor<1xf32>) attrs = {tw.config = #row} {
  ^bb0(%a: f32, %acc: f32):
    %m = arith.maximumf %acc, %a : f32
    linalg.yield %m : f32
  } -> tensor<1xf32>
  return %r : tensor<1xf32>
}

// -----

#keys = #tw.config<workgroup = [], tile = [], lane = 2, vector = 16, unroll = 2, lowering = "vector">

// Dot products along contiguous keys: all static, so nothing is left of the loops.
// CHECK-LABEL: func @query_key
// CHECK-NOT:     scf.for
// CHECK-COUNT-4: vector.reduction <add>, {{.*}} fastmath<reassoc,contract>
// CHECK-NOT:     mask
func.func @query_key(%q: tensor<2x64xf32>, %k: tensor<2x64xf32>, %out: tensor<2x2xf32>) -> tensor<2x2xf32> {
  %zero = arith.constant 0.0 : f32
  %init = linalg.fill ins(%zero : f32) outs(%out : tensor<2x2xf32>) -> tensor<2x2xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(s, t, d) -> (s, d)>, affine_map<(s, t, d) -> (t, d)>, affine_map<(s, t, d) -> (s, t)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<2x64xf32>, tensor<2x64xf32>) outs(%init : tensor<2x2xf32>) attrs = {tw.config = #keys} {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y fastmath<contract> : f32
    %s = arith.addf %acc, %p fastmath<contract> : f32
    linalg.yield %s : f32
  } -> tensor<2x2xf32>
  return %r : tensor<2x2xf32>
}

// -----

#columns = #tw.config<workgroup = [], tile = [], lane = 0, vector = 16, unroll = 4, lowering = "vector">

// Sums of columns: lanes are parallel and the rows are the loop inside.
// CHECK-LABEL: func @column_sums
// CHECK:         scf.for {{.*}} step %c64 iter_args({{.*}}) -> (tensor<?xf32>)
// CHECK-COUNT-4:   vector.transfer_read {{.*}} : tensor<?xf32>, vector<16xf32>
// CHECK:           scf.for {{.*}} step %c2 {{.*}} -> (vector<16xf32>
// CHECK:           vector.transfer_write
func.func @column_sums(%x: tensor<?x?xf32>, %out: tensor<?xf32>) -> tensor<?xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(n, m) -> (m, n)>, affine_map<(n, m) -> (n)>], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x?xf32>) outs(%out : tensor<?xf32>) attrs = {tw.config = #columns} {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.addf %acc, %a : f32
    linalg.yield %s : f32
  } -> tensor<?xf32>
  return %r : tensor<?xf32>
}

// -----

#all = #tw.config<workgroup = [], tile = [], lane = 1, vector = 16, unroll = 2, lowering = "vector">

// A sum and a sum of squares of everything, into tensors without dimensions.
// CHECK-LABEL: func @moments
// CHECK:         scf.for {{.*}} step %c1 iter_args({{.*}}) -> (vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>)
// CHECK:           scf.for {{.*}} step %c32
// CHECK:         vector.reduction <add>
// CHECK:         tensor.insert {{.*}}[] : tensor<f32>
// CHECK:         vector.reduction <add>
// CHECK:         tensor.insert {{.*}}[] : tensor<f32>
func.func @moments(%x: tensor<?x?xf32>, %sum: tensor<f32>, %squares: tensor<f32>) -> (tensor<f32>, tensor<f32>) {
  %r:2 = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> ()>, affine_map<(m, n) -> ()>],
      iterator_types = ["reduction", "reduction"]}
      ins(%x : tensor<?x?xf32>) outs(%sum, %squares : tensor<f32>, tensor<f32>) attrs = {tw.config = #all} {
  ^bb0(%a: f32, %s0: f32, %q0: f32):
    %aa = arith.mulf %a, %a : f32
    %s = arith.addf %s0, %a : f32
    %q = arith.addf %q0, %aa : f32
    linalg.yield %s, %q : f32, f32
  } -> (tensor<f32>, tensor<f32>)
  return %r#0, %r#1 : tensor<f32>, tensor<f32>
}

// -----

#keys = #tw.config<workgroup = [], tile = [], lane = 2, vector = 4, unroll = 2, lowering = "vector">

// As many results as there are lanes are computed together: their vectors are transposed while they are added up, and
// written as one. What is left is done one result at a time.
// CHECK-LABEL: func @many_keys
// CHECK:         scf.for {{.*}} step %c4 iter_args({{.*}}) -> (tensor<1x?xf32>)
// CHECK:           scf.for {{.*}} step %c8 iter_args({{.*}}) -> (vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>)
// CHECK:           vector.shuffle {{.*}} [0, 1, 4, 5]
// CHECK:           vector.shuffle {{.*}} [2, 3, 6, 7]
// CHECK:           vector.shuffle {{.*}} [0, 2, 4, 6]
// CHECK:           vector.shuffle {{.*}} [1, 3, 5, 7]
// CHECK-NOT:       vector.reduction
// CHECK:           vector.transfer_write {{.*}} : vector<4xf32>, tensor<1x?xf32>
// CHECK:         scf.for {{.*}} step %c1
// CHECK:           vector.reduction <add>
func.func @many_keys(%q: tensor<1x64xf32>, %k: tensor<?x64xf32>, %out: tensor<1x?xf32>) -> tensor<1x?xf32> {
  %r = linalg.generic {
      indexing_maps = [affine_map<(s, t, d) -> (s, d)>, affine_map<(s, t, d) -> (t, d)>, affine_map<(s, t, d) -> (s, t)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<1x64xf32>, tensor<?x64xf32>) outs(%out : tensor<1x?xf32>) attrs = {tw.config = #keys} {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y fastmath<contract> : f32
    %s = arith.addf %acc, %p fastmath<contract> : f32
    linalg.yield %s : f32
  } -> tensor<1x?xf32>
  return %r : tensor<1x?xf32>
}
