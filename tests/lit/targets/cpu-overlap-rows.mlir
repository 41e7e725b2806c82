// RUN: tw-opt %s --tw-cpu-overlap-rows --canonicalize --cse | FileCheck %s

// The maximum of a row, exponentials and their sum, results: three walks, since the sum needs nothing but what is written
// beside it.
// CHECK-LABEL: func.func @three_walks
// CHECK:         %[[RING:.*]] = memref.alloca() {alignment = 64 : i64} : memref<2x1x112xf32>
// CHECK:         %[[END:.*]] = arith.addi %arg2, %c2
// CHECK:         scf.for %[[I:.*]] = %c0 to %[[END]] step %c1 iter_args(
// CHECK-SAME:      -> (vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>)
// CHECK:           %[[BEFORE:.*]] = arith.subi %[[I]], %c1
// CHECK:           %[[FIRST:.*]] = arith.subi %[[I]], %c2
// CHECK:           %[[BEGUN:.*]] = arith.cmpi sge, %[[FIRST]], %c0
// CHECK:           %[[GOING:.*]] = arith.cmpi slt, %[[I]], %arg2
// CHECK:           %[[STEADY:.*]] = arith.andi %[[BEGUN]], %[[GOING]]
// CHECK:           scf.if %[[STEADY]]
// CHECK:             memref.subview %arg0[%[[I]], 0]
// CHECK:             %[[KEPT:.*]] = memref.subview %[[RING]]
// CHECK:             memref.subview %arg0[%[[BEFORE]], 0]
// CHECK:             %[[USED:.*]] = memref.subview %[[RING]]
// CHECK:             %[[RESULT:.*]] = memref.subview %arg1[%[[FIRST]], 0]
// CHECK:             vector.transfer_write %{{.*}}, %[[KEPT]][%c0, %c96], %{{.*}}
// CHECK:             scf.for %[[J:.*]] = %c0 to %c96 step %c16 {{.*}} -> (vector<16xf32>, vector<16xf32>)
// CHECK:               arith.maximumf
// CHECK:               %[[EXP:.*]] = math.exp
// CHECK:               vector.transfer_write %[[EXP]], %[[KEPT]]
// CHECK-NOT:           transfer_read %[[KEPT]]
// CHECK:               arith.addf %{{.*}}, %[[EXP]]
// CHECK:               vector.transfer_read %[[USED]][%c0, %[[J]]]
// CHECK:               vector.transfer_write %{{.*}}, %[[RESULT]][%c0, %[[J]]]
// CHECK:               scf.yield
// CHECK-NOT:         scf.for
// What is left of the result waits for its walk.
// CHECK:             vector.transfer_write %{{.*}}, %[[RESULT]][%c0, %c96], %{{.*}}
// CHECK:           } else {
// CHECK:             scf.if
// CHECK:               scf.for
// CHECK:               arith.maximumf
// CHECK:             scf.if
// CHECK:               scf.for
// CHECK:               math.exp
// CHECK:             scf.if
// CHECK:               scf.for
// CHECK:               arith.mulf
func.func @three_walks(%x: memref<64x100xf32>, %y: memref<64x100xf32>, %n: index) attributes {tw.kernel, tw.overlap} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %c16 = arith.constant 16 : index
  %c96 = arith.constant 96 : index
  %f0 = arith.constant 0.0 : f32
  %zero = arith.constant dense<0.0> : vector<16xf32>
  %low = arith.constant dense<0xFF800000> : vector<16xf32>
  %t = memref.alloca() {alignment = 64 : i64} : memref<1x100xf32>
  scf.for %i = %c0 to %n step %c1 {
    %in = memref.subview %x[%i, 0] [1, 100] [1, 1] : memref<64x100xf32> to memref<1x100xf32, strided<[100, 1], offset: ?>>
    %m = scf.for %j = %c0 to %c96 step %c16 iter_args(%a = %low) -> (vector<16xf32>) {
      %v = vector.transfer_read %in[%c0, %j], %f0 {in_bounds = [true]} : memref<1x100xf32, strided<[100, 1], offset: ?>>, vector<16xf32>
      %s = arith.maximumf %v, %a : vector<16xf32>
      scf.yield %s : vector<16xf32>
    }
    %most = vector.reduction <maximumf>, %m : vector<16xf32> into f32
    %mosts = vector.broadcast %most : f32 to vector<16xf32>
    scf.for %j = %c0 to %c96 step %c16 {
      %v = vector.transfer_read %in[%c0, %j], %f0 {in_bounds = [true]} : memref<1x100xf32, strided<[100, 1], offset: ?>>, vector<16xf32>
      %d = arith.subf %v, %mosts : vector<16xf32>
      %e = math.exp %d : vector<16xf32>
      vector.transfer_write %e, %t[%c0, %j] {in_bounds = [true]} : vector<16xf32>, memref<1x100xf32>
    }
    %mask = vector.create_mask %c4 : vector<16xi1>
    %rest = vector.transfer_read %in[%c0, %c96], %f0, %mask {in_bounds = [true]} : memref<1x100xf32, strided<[100, 1], offset: ?>>, vector<16xf32>
    %rest1 = arith.subf %rest, %mosts : vector<16xf32>
    %rest2 = math.exp %rest1 : vector<16xf32>
    vector.transfer_write %rest2, %t[%c0, %c96], %mask {in_bounds = [true]} : vector<16xf32>, memref<1x100xf32>
    %p = scf.for %j = %c0 to %c96 step %c16 iter_args(%a = %zero) -> (vector<16xf32>) {
      %v = vector.transfer_read %t[%c0, %j], %f0 {in_bounds = [true]} : memref<1x100xf32>, vector<16xf32>
      %s = arith.addf %a, %v : vector<16xf32>
      scf.yield %s : vector<16xf32>
    }
    %total = vector.reduction <add>, %p : vector<16xf32> into f32
    %out = memref.subview %y[%i, 0] [1, 100] [1, 1] : memref<64x100xf32> to memref<1x100xf32, strided<[100, 1], offset: ?>>
    %totals = vector.broadcast %total : f32 to vector<16xf32>
    scf.for %j = %c0 to %c96 step %c16 {
      %v = vector.transfer_read %t[%c0, %j], %f0 {in_bounds = [true]} : memref<1x100xf32>, vector<16xf32>
      %w = arith.mulf %v, %totals : vector<16xf32>
      vector.transfer_write %w, %out[%c0, %j] {in_bounds = [true]} : vector<16xf32>, memref<1x100xf32, strided<[100, 1], offset: ?>>
    }
    %last = vector.transfer_read %t[%c0, %c96], %f0, %mask {in_bounds = [true]} : memref<1x100xf32>, vector<16xf32>
    %last1 = arith.mulf %last, %totals : vector<16xf32>
    vector.transfer_write %last1, %out[%c0, %c96], %mask {in_bounds = [true]} : vector<16xf32>, memref<1x100xf32, strided<[100, 1], offset: ?>>
  }
  return
}

// Nobody asked for it.
// CHECK-LABEL: func.func @unmarked
// CHECK-NOT:     scf.if
// CHECK:         return
func.func @unmarked(%x: memref<64x96xf32>, %y: memref<64x96xf32>, %n: index) attributes {tw.kernel} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c16 = arith.constant 16 : index
  %c96 = arith.constant 96 : index
  %f0 = arith.constant 0.0 : f32
  %zero = arith.constant dense<0.0> : vector<16xf32>
  scf.for %i = %c0 to %n step %c1 {
    %p = scf.for %j = %c0 to %c96 step %c16 iter_args(%a = %zero) -> (vector<16xf32>) {
      %v = vector.transfer_read %x[%i, %j], %f0 {in_bounds = [true]} : memref<64x96xf32>, vector<16xf32>
      %s = arith.addf %a, %v : vector<16xf32>
      scf.yield %s : vector<16xf32>
    }
    scf.for %j = %c0 to %c96 step %c16 {
      vector.transfer_write %p, %y[%i, %j] {in_bounds = [true]} : vector<16xf32>, memref<64x96xf32>
    }
  }
  return
}

// A row reads what another one may have written.
// CHECK-LABEL: func.func @reads_results
// CHECK-NOT:     scf.if
// CHECK:         return
func.func @reads_results(%y: memref<64x96xf32>, %n: index) attributes {tw.kernel, tw.overlap} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c16 = arith.constant 16 : index
  %c96 = arith.constant 96 : index
  %f0 = arith.constant 0.0 : f32
  %zero = arith.constant dense<0.0> : vector<16xf32>
  scf.for %i = %c0 to %n step %c1 {
    %p = scf.for %j = %c0 to %c96 step %c16 iter_args(%a = %zero) -> (vector<16xf32>) {
      %v = vector.transfer_read %y[%i, %j], %f0 {in_bounds = [true]} : memref<64x96xf32>, vector<16xf32>
      %s = arith.addf %a, %v : vector<16xf32>
      scf.yield %s : vector<16xf32>
    }
    scf.for %j = %c0 to %c96 step %c16 {
      vector.transfer_write %p, %y[%i, %j] {in_bounds = [true]} : vector<16xf32>, memref<64x96xf32>
    }
  }
  return
}

// A buffer whose elements a row may have from the row before it.
// CHECK-LABEL: func.func @keeps_what_it_has
// CHECK-NOT:     scf.if
// CHECK:         return
func.func @keeps_what_it_has(%x: memref<64x96xf32>, %y: memref<64x96xf32>, %n: index) attributes {tw.kernel, tw.overlap} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c16 = arith.constant 16 : index
  %c96 = arith.constant 96 : index
  %f0 = arith.constant 0.0 : f32
  %zero = arith.constant dense<0.0> : vector<16xf32>
  %t = memref.alloca() : memref<96xf32>
  vector.transfer_write %zero, %t[%c0] {in_bounds = [true]} : vector<16xf32>, memref<96xf32>
  scf.for %i = %c0 to %n step %c1 {
    %p = scf.for %j = %c0 to %c96 step %c16 iter_args(%a = %zero) -> (vector<16xf32>) {
      %v = vector.transfer_read %x[%i, %j], %f0 {in_bounds = [true]} : memref<64x96xf32>, vector<16xf32>
      %s = arith.addf %a, %v : vector<16xf32>
      scf.yield %s : vector<16xf32>
    }
    scf.for %j = %c0 to %c96 step %c16 {
      %v = vector.transfer_read %t[%j], %f0 {in_bounds = [true]} : memref<96xf32>, vector<16xf32>
      %s = arith.addf %p, %v : vector<16xf32>
      vector.transfer_write %s, %t[%j] {in_bounds = [true]} : vector<16xf32>, memref<96xf32>
      vector.transfer_write %s, %y[%i, %j] {in_bounds = [true]} : vector<16xf32>, memref<64x96xf32>
    }
  }
  return
}

// Walks of different lengths have no loop in common.
// CHECK-LABEL: func.func @other_bounds
// CHECK-NOT:     scf.if
// CHECK:         return
func.func @other_bounds(%x: memref<64x96xf32>, %y: memref<64x80xf32>, %n: index) attributes {tw.kernel, tw.overlap} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c16 = arith.constant 16 : index
  %c80 = arith.constant 80 : index
  %c96 = arith.constant 96 : index
  %f0 = arith.constant 0.0 : f32
  %zero = arith.constant dense<0.0> : vector<16xf32>
  scf.for %i = %c0 to %n step %c1 {
    %p = scf.for %j = %c0 to %c96 step %c16 iter_args(%a = %zero) -> (vector<16xf32>) {
      %v = vector.transfer_read %x[%i, %j], %f0 {in_bounds = [true]} : memref<64x96xf32>, vector<16xf32>
      %s = arith.addf %a, %v : vector<16xf32>
      scf.yield %s : vector<16xf32>
    }
    scf.for %j = %c0 to %c80 step %c16 {
      vector.transfer_write %p, %y[%i, %j] {in_bounds = [true]} : vector<16xf32>, memref<64x80xf32>
    }
  }
  return
}

// Half of what a walk wrote is written again: what is read is read from memory, in a row of its own.
// CHECK-LABEL: func.func @written_twice
// CHECK:         memref.alloca() {{.*}} : memref<2x96xf32>
// CHECK:         %[[READ:.*]] = vector.transfer_read %{{.*}} : memref<96xf32, strided<[1], offset: ?>>, vector<16xf32>
// CHECK:         arith.addf %[[READ]], %[[READ]]
func.func @written_twice(%x: memref<64x96xf32>, %y: memref<64x96xf32>, %n: index) attributes {tw.kernel, tw.overlap} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %c16 = arith.constant 16 : index
  %c96 = arith.constant 96 : index
  %f0 = arith.constant 0.0 : f32
  %low = arith.constant dense<0xFF800000> : vector<16xf32>
  %two = arith.constant dense<2.0> : vector<8xf32>
  %t = memref.alloca() {alignment = 64 : i64} : memref<96xf32>
  scf.for %i = %c0 to %n step %c1 {
    %m = scf.for %j = %c0 to %c96 step %c16 iter_args(%a = %low) -> (vector<16xf32>) {
      %v = vector.transfer_read %x[%i, %j], %f0 {in_bounds = [true]} : memref<64x96xf32>, vector<16xf32>
      %s = arith.maximumf %v, %a : vector<16xf32>
      scf.yield %s : vector<16xf32>
    }
    scf.for %j = %c0 to %c96 step %c16 {
      %v = vector.transfer_read %x[%i, %j], %f0 {in_bounds = [true]} : memref<64x96xf32>, vector<16xf32>
      %s = arith.subf %v, %m : vector<16xf32>
      vector.transfer_write %s, %t[%j] {in_bounds = [true]} : vector<16xf32>, memref<96xf32>
      %j8 = arith.addi %j, %c8 : index
      vector.transfer_write %two, %t[%j8] {in_bounds = [true]} : vector<8xf32>, memref<96xf32>
    }
    scf.for %j = %c0 to %c96 step %c16 {
      %v = vector.transfer_read %t[%j], %f0 {in_bounds = [true]} : memref<96xf32>, vector<16xf32>
      %s = arith.addf %v, %v : vector<16xf32>
      vector.transfer_write %s, %y[%i, %j] {in_bounds = [true]} : vector<16xf32>, memref<64x96xf32>
    }
  }
  return
}

// A bound that is a constant of the row is that of all walks.
// CHECK-LABEL: func.func @constant_of_the_row
// CHECK:         scf.for
// CHECK:           scf.if
// CHECK:         return
func.func @constant_of_the_row(%x: memref<64x96xf32>, %y: memref<64x96xf32>, %n: index) attributes {tw.kernel, tw.overlap} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c16 = arith.constant 16 : index
  %c96 = arith.constant 96 : index
  %f0 = arith.constant 0.0 : f32
  %low = arith.constant dense<0xFF800000> : vector<16xf32>
  scf.for %i = %c0 to %n step %c1 {
    %d96 = arith.constant 96 : index
    %m = scf.for %j = %c0 to %d96 step %c16 iter_args(%a = %low) -> (vector<16xf32>) {
      %v = vector.transfer_read %x[%i, %j], %f0 {in_bounds = [true]} : memref<64x96xf32>, vector<16xf32>
      %s = arith.maximumf %v, %a : vector<16xf32>
      scf.yield %s : vector<16xf32>
    }
    scf.for %j = %c0 to %c96 step %c16 {
      %v = vector.transfer_read %x[%i, %j], %f0 {in_bounds = [true]} : memref<64x96xf32>, vector<16xf32>
      %s = arith.subf %v, %m : vector<16xf32>
      vector.transfer_write %s, %y[%i, %j] {in_bounds = [true]} : vector<16xf32>, memref<64x96xf32>
    }
  }
  return
}
