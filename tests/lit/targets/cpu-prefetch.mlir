// RUN: tw-opt %s --tw-cpu-prefetch=distance=4096 | FileCheck %s

// Two rows of 32 bytes are one line: one request for both, 4096 bytes ahead.
// CHECK-LABEL: func.func @stored
// CHECK:         scf.for %[[K:[a-z0-9]+]] =
// CHECK:           %[[AHEAD:[a-z0-9]+]] = arith.addi %{{.+}}, %c4096
// CHECK:           memref.prefetch %{{.+}}[%[[K]], %[[AHEAD]]], read, locality<3>, data
// CHECK-NOT:       memref.prefetch
// CHECK:         return
func.func @stored(%w: memref<64x32xi8>, %acc: vector<32xf32>) -> vector<32xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c64 = arith.constant 64 : index
  %pad = arith.constant 0 : i8
  %r = scf.for %k = %c0 to %c64 step %c2 iter_args(%a = %acc) -> vector<32xf32> {
    %next = arith.addi %k, %c1 : index
    %b0 = vector.transfer_read %w[%k, %c0], %pad {in_bounds = [true]} : memref<64x32xi8>, vector<32xi8>
    %b1 = vector.transfer_read %w[%next, %c0], %pad {in_bounds = [true]} : memref<64x32xi8>, vector<32xi8>
    %i0 = arith.extsi %b0 : vector<32xi8> to vector<32xi32>
    %i1 = arith.extsi %b1 : vector<32xi8> to vector<32xi32>
    %s = arith.addi %i0, %i1 : vector<32xi32>
    %f = arith.sitofp %s : vector<32xi32> to vector<32xf32>
    %t = arith.addf %a, %f : vector<32xf32>
    scf.yield %t : vector<32xf32>
  }
  return %r : vector<32xf32>
}

// Loops of their own read the first and the second half of each row: the one that begins rows asks for all of them.
// CHECK-LABEL: func.func @halves
// CHECK:         scf.for %[[K:[a-z0-9]+]] =
// CHECK:           memref.prefetch %{{.+}}[%[[K]], %{{.+}}], read, locality<3>, data
// CHECK-NOT:       memref.prefetch
// CHECK:         scf.for
// CHECK-NOT:       memref.prefetch
// CHECK:         return
func.func @halves(%w: memref<64x32xi8>, %acc: vector<16xf32>) -> (vector<16xf32>, vector<16xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c16 = arith.constant 16 : index
  %c64 = arith.constant 64 : index
  %pad = arith.constant 0 : i8
  %r = scf.for %k = %c0 to %c64 step %c2 iter_args(%a = %acc) -> vector<16xf32> {
    %next = arith.addi %k, %c1 : index
    %b0 = vector.transfer_read %w[%k, %c0], %pad {in_bounds = [true]} : memref<64x32xi8>, vector<16xi8>
    %b1 = vector.transfer_read %w[%next, %c0], %pad {in_bounds = [true]} : memref<64x32xi8>, vector<16xi8>
    %i0 = arith.extsi %b0 : vector<16xi8> to vector<16xi32>
    %i1 = arith.extsi %b1 : vector<16xi8> to vector<16xi32>
    %s = arith.addi %i0, %i1 : vector<16xi32>
    %f = arith.sitofp %s : vector<16xi32> to vector<16xf32>
    %t = arith.addf %a, %f : vector<16xf32>
    scf.yield %t : vector<16xf32>
  }
  %q = scf.for %k = %c0 to %c64 step %c2 iter_args(%a = %acc) -> vector<16xf32> {
    %next = arith.addi %k, %c1 : index
    %b0 = vector.transfer_read %w[%k, %c16], %pad {in_bounds = [true]} : memref<64x32xi8>, vector<16xi8>
    %b1 = vector.transfer_read %w[%next, %c16], %pad {in_bounds = [true]} : memref<64x32xi8>, vector<16xi8>
    %i0 = arith.extsi %b0 : vector<16xi8> to vector<16xi32>
    %i1 = arith.extsi %b1 : vector<16xi8> to vector<16xi32>
    %s = arith.addi %i0, %i1 : vector<16xi32>
    %f = arith.sitofp %s : vector<16xi32> to vector<16xf32>
    %t = arith.addf %a, %f : vector<16xf32>
    scf.yield %t : vector<16xf32>
  }
  return %r, %q : vector<16xf32>, vector<16xf32>
}

// Must not fire: whole floats arrive fast enough for the processor to see the stream.
// CHECK-LABEL: func.func @floats
// CHECK-NOT:     memref.prefetch
func.func @floats(%w: memref<64x16xf32>, %acc: vector<16xf32>) -> vector<16xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c64 = arith.constant 64 : index
  %pad = arith.constant 0.0 : f32
  %r = scf.for %k = %c0 to %c64 step %c1 iter_args(%a = %acc) -> vector<16xf32> {
    %b = vector.transfer_read %w[%k, %c0], %pad {in_bounds = [true]} : memref<64x16xf32>, vector<16xf32>
    %t = arith.addf %a, %b : vector<16xf32>
    scf.yield %t : vector<16xf32>
  }
  return %r : vector<16xf32>
}
