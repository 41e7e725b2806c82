// RUN: tw-opt %s --tw-vectorize --canonicalize --split-input-file | FileCheck %s

#rows = #tw.config<workgroup = [], tile = [], lane = 1, vector = 16, unroll = 1, lowering = "vector">

// Rows of a table: the row is the same for all lanes, so the vectors are contiguous.
// CHECK-LABEL: func @gather_rows
// CHECK-SAME:    %[[TABLE:[a-z0-9]+]]: tensor<?x?xf32>, %[[IX:[a-z0-9]+]]: tensor<?xi32>
// CHECK:         %[[I:.*]] = tensor.extract %[[IX]]
// CHECK:         %[[ROW:.*]] = arith.index_cast %[[I]]
// CHECK:         scf.for %[[N:[a-z0-9]+]] = {{.*}} step %c16
// CHECK:           vector.transfer_read %[[TABLE]][%[[ROW]], %[[N]]], {{.*}} {in_bounds = [true]}
// CHECK:         vector.create_mask
func.func @gather_rows(%table: tensor<?x?xf32>, %ix: tensor<?xi32>, %out: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(m, n) -> (m)>, affine_map<(m, n) -> (m, n)>], iterator_types = ["parallel", "parallel"]}
      ins(%ix : tensor<?xi32>) outs(%out : tensor<?x?xf32>) attrs = {tw.config = #rows} {
  ^bb0(%i: i32, %old: f32):
    %n = linalg.index 1 : index
    %row = arith.index_cast %i : i32 to index
    %v = tensor.extract %table[%row, %n] : tensor<?x?xf32>
    linalg.yield %v : f32
  } -> tensor<?x?xf32>
  return %r : tensor<?x?xf32>
}

// -----

#lanes = #tw.config<workgroup = [], tile = [], lane = 0, vector = 4, unroll = 1, lowering = "vector">

// One index per lane: scalar reads, and a scalar remainder, because a masked lane has no index.
// CHECK-LABEL: func @gather_lanes
// CHECK:         scf.for {{.*}} step %c4
// CHECK:           %[[IX:.*]] = arith.index_cast {{.*}} : vector<4xi32> to vector<4xindex>
// CHECK-COUNT-4:   tensor.extract
// CHECK:           vector.from_elements {{.*}} : vector<4xf32>
// CHECK:         scf.for {{.*}} step %c1
// CHECK-NOT:       vector<
// CHECK:           tensor.insert
// CHECK-NOT:     vector.create_mask
func.func @gather_lanes(%table: tensor<?xf32>, %ix: tensor<?xi32>, %out: tensor<?xf32>) -> tensor<?xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(n) -> (n)>, affine_map<(n) -> (n)>], iterator_types = ["parallel"]}
      ins(%ix : tensor<?xi32>) outs(%out : tensor<?xf32>) attrs = {tw.config = #lanes} {
  ^bb0(%i: i32, %old: f32):
    %at = arith.index_cast %i : i32 to index
    %v = tensor.extract %table[%at] : tensor<?xf32>
    linalg.yield %v : f32
  } -> tensor<?xf32>
  return %r : tensor<?xf32>
}

// -----

#lanes = #tw.config<workgroup = [], tile = [], lane = 0, vector = 16, unroll = 1, lowering = "vector">

// The lane's own index plus a constant is contiguous; as a number it is a step vector.
// CHECK-LABEL: func @shifted
// CHECK-SAME:    %[[X:[a-z0-9]+]]: tensor<?xf32>
// CHECK-DAG:     %[[STEP:.*]] = vector.step : vector<16xindex>
// CHECK:         scf.for %[[N:[a-z0-9]+]] = {{.*}} step %c16
// CHECK:           %[[AT:.*]] = arith.addi %[[N]], %c3
// CHECK:           vector.transfer_read %[[X]][%[[AT]]]
// CHECK:           %[[BASE:.*]] = vector.broadcast %[[N]]
// CHECK:           arith.addi %[[BASE]], %[[STEP]]
func.func @shifted(%x: tensor<?xf32>, %out: tensor<?xf32>) -> tensor<?xf32> {
  %c3 = arith.constant 3 : index
  %r = linalg.generic {indexing_maps = [affine_map<(n) -> (n)>], iterator_types = ["parallel"]}
      outs(%out : tensor<?xf32>) attrs = {tw.config = #lanes} {
  ^bb0(%old: f32):
    %n = linalg.index 0 : index
    %at = arith.addi %n, %c3 : index
    %v = tensor.extract %x[%at] : tensor<?xf32>
    %i = arith.index_cast %n : index to i32
    %f = arith.sitofp %i : i32 to f32
    %s = arith.addf %v, %f : f32
    linalg.yield %s : f32
  } -> tensor<?xf32>
  return %r : tensor<?xf32>
}

// -----

#lanes = #tw.config<workgroup = [], tile = [], lane = 0, vector = 16, unroll = 1, lowering = "vector">

// Tiling moved the index by the tile's offset: still contiguous.
// CHECK-LABEL: func @moved_by_tiling
// CHECK-SAME:    %[[X:[a-z0-9]+]]: tensor<?xf32>, %[[OFFSET:[a-z0-9]+]]: index
// CHECK:         scf.for %[[N:[a-z0-9]+]] = {{.*}} step %c16
// CHECK:           %[[AT:.*]] = arith.addi %[[N]], %[[OFFSET]]
// CHECK:           vector.transfer_read %[[X]][%[[AT]]]
func.func @moved_by_tiling(%x: tensor<?xf32>, %offset: index, %out: tensor<?xf32>) -> tensor<?xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(n) -> (n)>], iterator_types = ["parallel"]}
      outs(%out : tensor<?xf32>) attrs = {tw.config = #lanes} {
  ^bb0(%old: f32):
    %n = linalg.index 0 : index
    %at = affine.apply affine_map<(d0, d1) -> (d0 + d1)>(%n, %offset)
    %v = tensor.extract %x[%at] : tensor<?xf32>
    linalg.yield %v : f32
  } -> tensor<?xf32>
  return %r : tensor<?xf32>
}
