// RUN: tw-opt %s --tw-vectorize --split-input-file --verify-diagnostics | FileCheck %s

#cfg = #tw.config<workgroup = [], tile = [], lane = 1, vector = 16, unroll = 2, lowering = "vector">

// CHECK-LABEL: func @argmax_along_lanes
// CHECK-NOT:     vector<
// CHECK:         tw.lowering = "loops"
func.func @argmax_along_lanes(%x: tensor<?x?xf32>, %v: tensor<?xf32>, %p: tensor<?xi64>) -> (tensor<?xf32>, tensor<?xi64>) {
  // expected-remark @+1 {{left as loops: the lane loop is a reduction, and output 0 is not combined by a single}}
  %r:2 = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>, affine_map<(m, n) -> (m)>],
      iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x?xf32>) outs(%v, %p : tensor<?xf32>, tensor<?xi64>) attrs = {tw.config = #cfg} {
  ^bb0(%a: f32, %v0: f32, %i0: i64):
    %n = linalg.index 1 : index
    %i = arith.index_cast %n : index to i64
    %c = arith.cmpf ogt, %a, %v0 : f32
    %s = arith.select %c, %a, %v0 : f32
    %t = arith.select %c, %i, %i0 : i64
    linalg.yield %s, %t : f32, i64
  } -> (tensor<?xf32>, tensor<?xi64>)
  return %r#0, %r#1 : tensor<?xf32>, tensor<?xi64>
}

// -----

#cfg = #tw.config<workgroup = [], tile = [], lane = 0, vector = 16, unroll = 2, lowering = "vector">

// CHECK-LABEL: func @region_in_body
// CHECK-NOT:     vector<
// CHECK:         tw.lowering = "loops"
func.func @region_in_body(%x: tensor<?xf32>, %c: i1, %out: tensor<?xf32>) -> tensor<?xf32> {
  // expected-remark @+1 {{left as loops: its body has scf.if, which holds a region}}
  %r = linalg.generic {indexing_maps = [affine_map<(n) -> (n)>, affine_map<(n) -> (n)>], iterator_types = ["parallel"]}
      ins(%x : tensor<?xf32>) outs(%out : tensor<?xf32>) attrs = {tw.config = #cfg} {
  ^bb0(%a: f32, %old: f32):
    %s = scf.if %c -> f32 {
      %e = math.exp %a : f32
      scf.yield %e : f32
    } else {
      scf.yield %a : f32
    }
    linalg.yield %s : f32
  } -> tensor<?xf32>
  return %r : tensor<?xf32>
}

// -----

#cfg = #tw.config<workgroup = [], tile = [], lane = 0, vector = 16, unroll = 2, lowering = "vector">

// CHECK-LABEL: func @nibble_elements
// CHECK:         tw.lowering = "loops"
func.func @nibble_elements(%x: tensor<?xi4>, %out: tensor<?xi4>) -> tensor<?xi4> {
  // expected-remark @+1 {{left as loops: an operand has elements that are not whole bytes}}
  %r = linalg.copy {tw.config = #cfg} ins(%x : tensor<?xi4>) outs(%out : tensor<?xi4>) -> tensor<?xi4>
  return %r : tensor<?xi4>
}

// -----

#cfg = #tw.config<workgroup = [], tile = [], lane = 3, vector = 16, unroll = 2, lowering = "vector">

// CHECK-LABEL: func @no_such_lane
// CHECK:         tw.lowering = "loops"
func.func @no_such_lane(%x: tensor<?xf32>) -> tensor<?xf32> {
  // expected-remark @+1 {{left as loops: its configuration names no lane loop}}
  %r = linalg.exp {tw.config = #cfg} ins(%x : tensor<?xf32>) outs(%x : tensor<?xf32>) -> tensor<?xf32>
  return %r : tensor<?xf32>
}
