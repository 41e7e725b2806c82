// RUN: tw-opt %s --tw-vectorize --canonicalize --split-input-file | FileCheck %s

#cfg = #tw.config<workgroup = [], tile = [8, 32, 0], lane = 1, vector = 16, unroll = 2, lowering = "vector">

// The register tile: 16 accumulators that start from the fill's constant, two panel loads and eight broadcasts a step.
// CHECK-LABEL: func @static_tile
// CHECK-SAME:    %[[A:[a-z0-9]+]]: tensor<8x?xf32>, %[[B:[a-z0-9]+]]: tensor<1x?x32xf32>, %[[OUT:[a-z0-9]+]]: tensor<8x32xf32>
// CHECK-NOT:     linalg
// CHECK:         %[[ZERO:.*]] = arith.constant dense<0.000000e+00> : vector<16xf32>
// CHECK:         %[[K:.*]] = tensor.dim %[[A]]
// CHECK:         %[[ACC:.*]]:16 = scf.for %[[IV:.*]] = %{{.*}} to %[[K]] step %{{.*}} iter_args(%{{.*}} = %[[ZERO]]
// CHECK:           vector.transfer_read %[[B]][%{{.*}}, %[[IV]], %c0], {{.*}}{in_bounds = [true]}
// CHECK:           vector.transfer_read %[[B]][%{{.*}}, %[[IV]], %c16], {{.*}}{in_bounds = [true]}
// CHECK-NOT:       vector.transfer_read
// CHECK-COUNT-15:  arith.addf {{.*}} fastmath<contract> : vector<16xf32>
// CHECK-NEXT:      scf.yield
// CHECK-NOT:     mask
// CHECK:         vector.transfer_write %[[ACC]]#0, %[[OUT]][%c0, %c0] {in_bounds = [true]}
// CHECK-COUNT-15: vector.transfer_write %[[ACC]]#
func.func @static_tile(%a: tensor<8x?xf32>, %b: tensor<1x?x32xf32>, %out: tensor<8x32xf32>) -> tensor<8x32xf32> {
  %zero = arith.constant 0.0 : f32
  %init = linalg.fill {tw.config = #cfg} ins(%zero : f32) outs(%out : tensor<8x32xf32>) -> tensor<8x32xf32>
  %c = linalg.generic {
      indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 32, k, n mod 32)>,
                       affine_map<(m, n, k) -> (m, n)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %b : tensor<8x?xf32>, tensor<1x?x32xf32>) outs(%init : tensor<8x32xf32>) attrs = {tw.config = #cfg} {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y fastmath<contract> : f32
    %s = arith.addf %acc, %p fastmath<contract> : f32
    linalg.yield %s : f32
  } -> tensor<8x32xf32>
  return %c : tensor<8x32xf32>
}

// -----

#cfg = #tw.config<workgroup = [], tile = [], lane = 1, vector = 16, unroll = 2, lowering = "vector">

// A remainder of 23 columns: one whole vector, and one of eight lanes of which seven are written. The panel is wide enough
// to be read whole.
// CHECK-LABEL: func @remainder_columns
// CHECK-SAME:    %[[A:[a-z0-9]+]]: tensor<1x?xf32>, %[[B:[a-z0-9]+]]: tensor<1x?x32xf32>, %[[OUT:[a-z0-9]+]]: tensor<1x23xf32>
// CHECK-DAG:     %[[MASK:.*]] = vector.constant_mask [7] : vector<8xi1>
// CHECK:         vector.transfer_read %[[OUT]][%c0, %c0], {{.*}} {in_bounds = [true]} : tensor<1x23xf32>, vector<16xf32>
// CHECK:         vector.transfer_read %[[OUT]][%c0, %c16], {{.*}} %[[MASK]] {in_bounds = [true]} : tensor<1x23xf32>, vector<8xf32>
// CHECK:         scf.for
// CHECK:           vector.transfer_read %[[B]][{{.*}}, %c16], %{{[^,]*}} {in_bounds = [true]} : tensor<1x?x32xf32>, vector<8xf32>
// CHECK:         vector.transfer_write {{.*}}[%c0, %c16], %[[MASK]]
func.func @remainder_columns(%a: tensor<1x?xf32>, %b: tensor<1x?x32xf32>, %out: tensor<1x23xf32>) -> tensor<1x23xf32> {
  %c = linalg.generic {
      indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n floordiv 32, k, n mod 32)>,
                       affine_map<(m, n, k) -> (m, n)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %b : tensor<1x?xf32>, tensor<1x?x32xf32>) outs(%out : tensor<1x23xf32>) attrs = {tw.config = #cfg} {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %q = arith.subf %acc, %p : f32
    linalg.yield %q : f32
  } -> tensor<1x23xf32>
  return %c : tensor<1x23xf32>
}

// -----

#cfg = #tw.config<workgroup = [], tile = [], lane = 1, vector = 16, unroll = 2, lowering = "vector">

// Rows that are not known in number are a loop over tensors, one row at a time; its few accumulators are doubled by
// taking k in steps of four.
// CHECK-LABEL: func @dynamic_rows
// CHECK:         scf.for {{.*}} iter_args(%{{.*}} = %{{.*}}) -> (tensor<?x32xf32>)
// CHECK:           scf.for {{.*}} step %c4 iter_args({{.*}}) -> (vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>)
// CHECK:           scf.for {{.*}} step %c1
// CHECK:           vector.transfer_write
func.func @dynamic_rows(%a: tensor<?x?xf32>, %b: tensor<?x32xf32>, %out: tensor<?x32xf32>) -> tensor<?x32xf32> {
  %c = linalg.matmul {tw.config = #cfg} ins(%a, %b : tensor<?x?xf32>, tensor<?x32xf32>) outs(%out : tensor<?x32xf32>) -> tensor<?x32xf32>
  return %c : tensor<?x32xf32>
}

// -----

#loops = #tw.config<workgroup = [], tile = [], lane = -1, vector = 0, unroll = 1, lowering = "loops">

// Must not fire: the configuration asks for loops.
// CHECK-LABEL: func @stays_loops
// CHECK-NOT:     vector<
// CHECK:         linalg.matmul {tw.config = {{.*}}, tw.lowering = "loops"}
// CHECK-NOT:     vector<
func.func @stays_loops(%a: tensor<8x?xf32>, %b: tensor<?x32xf32>, %out: tensor<8x32xf32>) -> tensor<8x32xf32> {
  %c = linalg.matmul {tw.config = #loops} ins(%a, %b : tensor<8x?xf32>, tensor<?x32xf32>) outs(%out : tensor<8x32xf32>) -> tensor<8x32xf32>
  return %c : tensor<8x32xf32>
}

// -----

#cfg = #tw.config<workgroup = [], tile = [], lane = 1, vector = 16, unroll = 2, lowering = "vector">

// 32 accumulators would leave no register for what is read: one vector of columns at a time.
// CHECK-LABEL: func @accumulators_and_operands
// CHECK:         scf.for {{.*}} to %c64 step %c16 iter_args
// CHECK:           %{{.*}}:8 = scf.for {{.*}} to %c512
func.func @accumulators_and_operands(%a: tensor<8x512xf32>, %b: tensor<512x64xf32>, %c: tensor<8x64xf32>) -> tensor<8x64xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>],
      iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %b : tensor<8x512xf32>, tensor<512x64xf32>) outs(%c : tensor<8x64xf32>) attrs = {tw.config = #cfg} {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<8x64xf32>
  return %r : tensor<8x64xf32>
}
