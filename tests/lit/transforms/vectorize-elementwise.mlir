// RUN: tw-opt %s --tw-vectorize --canonicalize --split-input-file | FileCheck %s

#cfg = #tw.config<workgroup = [], tile = [], lane = 0, vector = 16, unroll = 2, lowering = "vector">

// CHECK-LABEL: func @dynamic_chunk
// CHECK:         scf.for {{.*}} step %c32
// CHECK-NOT:       mask
// CHECK-COUNT-2:   arith.addf {{.*}} : vector<16xf32>
// CHECK:         scf.for {{.*}} step %c16
// CHECK-NOT:       mask
// CHECK:           arith.addf {{.*}} : vector<16xf32>
// CHECK:         scf.for {{.*}} step %c16
// CHECK:           %[[MASK:.*]] = vector.create_mask
// CHECK:           vector.transfer_read {{.*}}, %[[MASK]] {in_bounds = [true]}
// CHECK:           vector.transfer_write {{.*}}, %[[MASK]] {in_bounds = [true]}
func.func @dynamic_chunk(%x: tensor<?xf32>, %y: tensor<?xf32>, %out: tensor<?xf32>) -> tensor<?xf32> {
  %r = linalg.add {tw.config = #cfg} ins(%x, %y : tensor<?xf32>, tensor<?xf32>) outs(%out : tensor<?xf32>) -> tensor<?xf32>
  return %r : tensor<?xf32>
}

// -----

#cfg = #tw.config<workgroup = [], tile = [], lane = 0, vector = 16, unroll = 2, lowering = "vector">

// An input that is the output's own tensor is read where it is being written, so that it stays one buffer.
// CHECK-LABEL: func @in_place
// CHECK-SAME:    %[[X:[a-z0-9]+]]: tensor<?xf32>
// CHECK:         scf.for {{.*}} iter_args(%[[T:.*]] = %[[X]])
// CHECK:           vector.transfer_read %[[T]]
// CHECK-NOT:       vector.transfer_read %[[X]]
func.func @in_place(%x: tensor<?xf32>) -> tensor<?xf32> {
  %r = linalg.exp {tw.config = #cfg} ins(%x : tensor<?xf32>) outs(%x : tensor<?xf32>) -> tensor<?xf32>
  return %r : tensor<?xf32>
}

// -----

#cfg = #tw.config<workgroup = [], tile = [], lane = 0, vector = 16, unroll = 2, lowering = "vector">

// Masked lanes hold zeros: they must not be divided by.
// CHECK-LABEL: func @integer_division
// CHECK:         vector.create_mask
// CHECK:         %[[SAFE:.*]] = arith.select %{{.*}}, %{{.*}}, %{{.*}} : vector<16xi1>, vector<16xi32>
// CHECK:         arith.divsi %{{.*}}, %[[SAFE]]
func.func @integer_division(%x: tensor<?xi32>, %y: tensor<?xi32>, %out: tensor<?xi32>) -> tensor<?xi32> {
  %r = linalg.div {tw.config = #cfg} ins(%x, %y : tensor<?xi32>, tensor<?xi32>) outs(%out : tensor<?xi32>) -> tensor<?xi32>
  return %r : tensor<?xi32>
}

// -----

#cfg = #tw.config<workgroup = [], tile = [], lane = 0, vector = 16, unroll = 2, lowering = "vector">

// In memory an i1 is a byte and a vector of i1 is bits: booleans are read and written one by one, the remainder is scalar.
// CHECK-LABEL: func @booleans
// CHECK-NOT:     vector.transfer_{{read|write}} {{.*}}xi1>
// CHECK:         arith.cmpf ogt, {{.*}} : vector<16xf32>
// CHECK:         tensor.insert %{{.*}} : tensor<?xi1>
// CHECK:         scf.for {{.*}} step %c1
// CHECK:           arith.cmpf ogt, {{.*}} : f32
func.func @booleans(%x: tensor<?xf32>, %out: tensor<?xi1>) -> tensor<?xi1> {
  %zero = arith.constant 0.0 : f32
  %r = linalg.generic {indexing_maps = [affine_map<(n) -> (n)>, affine_map<(n) -> (n)>], iterator_types = ["parallel"]}
      ins(%x : tensor<?xf32>) outs(%out : tensor<?xi1>) attrs = {tw.config = #cfg} {
  ^bb0(%a: f32, %old: i1):
    %g = arith.cmpf ogt, %a, %zero : f32
    linalg.yield %g : i1
  } -> tensor<?xi1>
  return %r : tensor<?xi1>
}

// -----

// Must not fire: no configuration.
// CHECK-LABEL: func @unconfigured
// CHECK:         linalg.exp {tw.lowering = "loops"}
func.func @unconfigured(%x: tensor<?xf32>) -> tensor<?xf32> {
  %r = linalg.exp ins(%x : tensor<?xf32>) outs(%x : tensor<?xf32>) -> tensor<?xf32>
  return %r : tensor<?xf32>
}
