// RUN: tw-opt %s --tw-cpu-stream --split-input-file | FileCheck %s

#target = #tw.target<kind = "cpu", cpu = "znver4", features = "+avx,+avx512f", facts = {}>

// CHECK-LABEL: func.func @aligned
// CHECK:         %[[AT:.*]] = memref.extract_aligned_pointer_as_index %arg1
// CHECK:         %[[IN:.*]] = arith.andi %[[AT]], %c63
// CHECK:         %[[LINE:.*]] = arith.cmpi eq, %[[IN]], %c0
// CHECK:         scf.if %[[LINE]] {
// CHECK:           vector.store {{.*}} {alignment = 64 : i64, nontemporal = true}
// CHECK:           llvm.call_intrinsic "llvm.x86.sse.sfence"
// CHECK:         } else {
// CHECK-NOT:       nontemporal
// CHECK:           vector.transfer_write
// CHECK:         }
module attributes {tw.target = #target} {
  func.func @aligned(%x: memref<4096x768xf32>, %y: memref<4096x768xf32>, %begin: index, %end: index) attributes {tw.stream} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c16 = arith.constant 16 : index
    %c768 = arith.constant 768 : index
    %pad = arith.constant 0.0 : f32
    scf.for %i = %begin to %end step %c1 {
      %row = memref.subview %y[%i, 0] [1, 768] [1, 1] : memref<4096x768xf32> to memref<1x768xf32, strided<[768, 1], offset: ?>>
      scf.for %j = %c0 to %c768 step %c16 {
        %v = vector.transfer_read %x[%i, %j], %pad {in_bounds = [true]} : memref<4096x768xf32>, vector<16xf32>
        vector.transfer_write %v, %row[%c0, %j] {in_bounds = [true]} : vector<16xf32>, memref<1x768xf32, strided<[768, 1], offset: ?>>
      }
    }
    return
  }

  // Rows of 769 begin anywhere in a line.
  // CHECK-LABEL: func.func @odd_rows
  // CHECK-NOT:     nontemporal
  // CHECK:         return
  func.func @odd_rows(%x: memref<4096x769xf32>, %y: memref<4096x769xf32>, %begin: index, %end: index) attributes {tw.stream} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c16 = arith.constant 16 : index
    %c768 = arith.constant 768 : index
    %pad = arith.constant 0.0 : f32
    scf.for %i = %begin to %end step %c1 {
      scf.for %j = %c0 to %c768 step %c16 {
        %v = vector.transfer_read %x[%i, %j], %pad {in_bounds = [true]} : memref<4096x769xf32>, vector<16xf32>
        vector.transfer_write %v, %y[%i, %j] {in_bounds = [true]} : vector<16xf32>, memref<4096x769xf32>
      }
    }
    return
  }

  // Neighbours of a column lie a row apart.
  // CHECK-LABEL: func.func @column
  // CHECK-NOT:     nontemporal
  // CHECK:         return
  func.func @column(%y: memref<4096x768xf32>, %v: vector<16xf32>, %begin: index, %end: index) attributes {tw.stream} {
    %c0 = arith.constant 0 : index
    %c16 = arith.constant 16 : index
    %c4096 = arith.constant 4096 : index
    scf.for %i = %begin to %end step %c16 {
      %column = memref.subview %y[0, 16] [4096, 1] [1, 1] : memref<4096x768xf32> to memref<4096xf32, strided<[768], offset: 16>>
      scf.for %j = %c0 to %c4096 step %c16 {
        vector.transfer_write %v, %column[%j] {in_bounds = [true]} : vector<16xf32>, memref<4096xf32, strided<[768], offset: 16>>
      }
    }
    return
  }

  // What is read again stays in the cache.
  // CHECK-LABEL: func.func @in_place
  // CHECK-NOT:     nontemporal
  // CHECK:         return
  func.func @in_place(%y: memref<4096xf32>) attributes {tw.stream} {
    %c0 = arith.constant 0 : index
    %c16 = arith.constant 16 : index
    %c4096 = arith.constant 4096 : index
    %pad = arith.constant 0.0 : f32
    scf.for %j = %c0 to %c4096 step %c16 {
      %v = vector.transfer_read %y[%j], %pad {in_bounds = [true]} : memref<4096xf32>, vector<16xf32>
      vector.transfer_write %v, %y[%j] {in_bounds = [true]} : vector<16xf32>, memref<4096xf32>
    }
    return
  }

  // CHECK-LABEL: func.func @unmarked
  // CHECK-NOT:     nontemporal
  // CHECK:         return
  func.func @unmarked(%y: memref<4096xf32>, %v: vector<16xf32>) {
    %c0 = arith.constant 0 : index
    %c16 = arith.constant 16 : index
    %c4096 = arith.constant 4096 : index
    scf.for %j = %c0 to %c4096 step %c16 {
      vector.transfer_write %v, %y[%j] {in_bounds = [true]} : vector<16xf32>, memref<4096xf32>
    }
    return
  }
}
