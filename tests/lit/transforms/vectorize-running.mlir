// RUN: tw-opt %s --tw-vectorize --split-input-file --verify-diagnostics | FileCheck %s

#cfg = #tw.config<workgroup = [], tile = [], lane = 1, vector = 4, unroll = 2, lowering = "vector">

// Along the lanes: two additions to lanes further up, the total of all vectors before, and that total's next value.
// CHECK-LABEL: func @sum_along_lanes
// CHECK-DAG:     %[[TWO:.*]] = arith.constant dense<[false, false, true, true]> : vector<4xi1>
// CHECK-DAG:     %[[ONE:.*]] = arith.constant dense<[false, true, true, true]> : vector<4xi1>
// CHECK:         scf.for {{.*}} -> (vector<4xf32>, tensor<?x?xf32>)
// CHECK:           %[[X:.*]] = vector.transfer_read
// CHECK:           %[[MOVED:.*]] = vector.shuffle %[[X]], %[[X]] [3, 0, 1, 2]
// CHECK:           %[[BOTH:.*]] = arith.addf %[[MOVED]], %[[X]]
// CHECK:           %[[PAIRS:.*]] = arith.select %[[ONE]], %[[BOTH]], %[[X]]
// CHECK:           vector.shuffle %[[PAIRS]], %[[PAIRS]] [2, 3, 0, 1]
// CHECK:           %[[FOURS:.*]] = arith.select %[[TWO]], %{{.*}}, %[[PAIRS]]
// CHECK:           %[[OUT:.*]] = arith.addf %[[BEFORE:.*]], %[[FOURS]]
// CHECK:           vector.transfer_write %[[OUT]]
// CHECK:           %[[LAST:.*]] = vector.shuffle %[[FOURS]], %[[FOURS]] [3, 3, 3, 3]
// CHECK:           arith.addf %[[BEFORE]], %[[LAST]]
func.func @sum_along_lanes(%x: tensor<?x?xf32>, %out: tensor<?x?xf32>, %acc: tensor<?xf32>) -> tensor<?x?xf32> {
  %zero = arith.constant 0.0 : f32
  %start = linalg.fill {tw.config = #cfg} ins(%zero : f32) outs(%acc : tensor<?xf32>) -> tensor<?xf32>
  %r:2 = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>],
      iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x?xf32>) outs(%out, %start : tensor<?x?xf32>, tensor<?xf32>)
      attrs = {tw.config = #cfg, tw.lowering = "loops"} {
  ^bb0(%a: f32, %old: f32, %total: f32):
    %s = arith.addf %total, %a : f32
    linalg.yield %s, %s : f32, f32
  } -> (tensor<?x?xf32>, tensor<?xf32>)
  return %r#0 : tensor<?x?xf32>
}

// -----

#cfg = #tw.config<workgroup = [], tile = [], lane = 1, vector = 4, unroll = 2, lowering = "vector">

// Across the lanes: one addition a vector, in order; bfloat16 is added up in float32.
// CHECK-LABEL: func @sum_across_lanes
// CHECK:         scf.for
// CHECK:           scf.for {{.*}} -> (vector<4xf32>, vector<4xf32>, tensor<?x?xbf16>)
// CHECK:             %[[X:.*]] = vector.transfer_read %{{.*}} : tensor<?x?xbf16>, vector<4xbf16>
// CHECK:             %[[WIDE:.*]] = arith.extf %[[X]]
// CHECK:             %[[SUM:.*]] = arith.addf %{{.*}}, %[[WIDE]] : vector<4xf32>
// CHECK:             %[[NARROW:.*]] = arith.truncf %[[SUM]] : vector<4xf32> to vector<4xbf16>
// CHECK:             vector.transfer_write %[[NARROW]]
// CHECK-NOT:         vector.shuffle
func.func @sum_across_lanes(%x: tensor<?x?xbf16>, %out: tensor<?x?xbf16>, %acc: tensor<?xf32>) -> tensor<?x?xbf16> {
  %zero = arith.constant 0.0 : f32
  %start = linalg.fill {tw.config = #cfg} ins(%zero : f32) outs(%acc : tensor<?xf32>) -> tensor<?xf32>
  %r:2 = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (n)>],
      iterator_types = ["reduction", "parallel"]}
      ins(%x : tensor<?x?xbf16>) outs(%out, %start : tensor<?x?xbf16>, tensor<?xf32>)
      attrs = {tw.config = #cfg, tw.lowering = "loops"} {
  ^bb0(%a: bf16, %old: bf16, %total: f32):
    %w = arith.extf %a : bf16 to f32
    %s = arith.addf %total, %w : f32
    %t = arith.truncf %s : f32 to bf16
    linalg.yield %t, %s : bf16, f32
  } -> (tensor<?x?xbf16>, tensor<?xf32>)
  return %r#0 : tensor<?x?xbf16>
}

// -----

#cfg = #tw.config<workgroup = [], tile = [], lane = 0, vector = 4, unroll = 2, lowering = "vector">

// Floats 1e-30, 1e20, 1e20 have products in order, and none of the last two.
// CHECK-LABEL: func @product_along_lanes
// CHECK-NOT:     vector<
// CHECK:         tw.lowering = "loops"
func.func @product_along_lanes(%x: tensor<?xf32>, %out: tensor<?xf32>, %acc: tensor<f32>) -> tensor<?xf32> {
  // expected-remark @+1 {{left as loops: products of neighbours may overflow where the running product does not}}
  %r:2 = linalg.generic {
      indexing_maps = [affine_map<(n) -> (n)>, affine_map<(n) -> (n)>, affine_map<(n) -> ()>],
      iterator_types = ["reduction"]}
      ins(%x : tensor<?xf32>) outs(%out, %acc : tensor<?xf32>, tensor<f32>)
      attrs = {tw.config = #cfg, tw.lowering = "loops"} {
  ^bb0(%a: f32, %old: f32, %total: f32):
    %s = arith.mulf %total, %a : f32
    linalg.yield %s, %s : f32, f32
  } -> (tensor<?xf32>, tensor<f32>)
  return %r#0 : tensor<?xf32>
}

// -----

#cfg = #tw.config<workgroup = [], tile = [], lane = 0, vector = 4, unroll = 1, lowering = "vector">

// CHECK-LABEL: func @integer_product_along_lanes
// CHECK:         vector.shuffle %{{.*}} [3, 0, 1, 2]
// CHECK:         arith.muli
func.func @integer_product_along_lanes(%x: tensor<?xi32>, %out: tensor<?xi32>, %acc: tensor<i32>) -> tensor<?xi32> {
  %r:2 = linalg.generic {
      indexing_maps = [affine_map<(n) -> (n)>, affine_map<(n) -> (n)>, affine_map<(n) -> ()>],
      iterator_types = ["reduction"]}
      ins(%x : tensor<?xi32>) outs(%out, %acc : tensor<?xi32>, tensor<i32>)
      attrs = {tw.config = #cfg, tw.lowering = "loops"} {
  ^bb0(%a: i32, %old: i32, %total: i32):
    %s = arith.muli %total, %a : i32
    linalg.yield %s, %s : i32, i32
  } -> (tensor<?xi32>, tensor<i32>)
  return %r#0 : tensor<?xi32>
}
