// RUN: tw-opt %s --pass-pipeline='builtin.module(tw-bufferize,canonicalize,drop-equivalent-buffer-results,canonicalize)' --split-input-file | FileCheck %s

// A kernel writes into its destination through a loop, and its result is gone.
// CHECK-LABEL: func private @kernel_0
// CHECK-SAME:    (%{{.*}}: memref<?xf32>, %[[DEST:[a-z0-9]+]]: memref<?xf32>) attributes {tw.kernel}
// CHECK-NOT:     memref.alloc
// CHECK-NOT:     memref.copy
// CHECK:         vector.transfer_write %{{.*}}, %[[DEST]]
// CHECK-LABEL: func @main
// CHECK:         %[[OUT:.*]] = memref.alloc
// CHECK-NEXT:    call @kernel_0(%{{.*}}, %[[OUT]])
// CHECK-NEXT:    return %[[OUT]]
func.func private @kernel_0(%x: tensor<?xf32>, %dest: tensor<?xf32>) -> tensor<?xf32> attributes {tw.kernel} {
  %c0 = arith.constant 0 : index
  %c16 = arith.constant 16 : index
  %pad = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?xf32>
  %r = scf.for %i = %c0 to %n step %c16 iter_args(%acc = %dest) -> tensor<?xf32> {
    %v = vector.transfer_read %x[%i], %pad {in_bounds = [true]} : tensor<?xf32>, vector<16xf32>
    %w = vector.transfer_write %v, %acc[%i] {in_bounds = [true]} : vector<16xf32>, tensor<?xf32>
    scf.yield %w : tensor<?xf32>
  }
  return %r : tensor<?xf32>
}
func.func @main(%x: tensor<?xf32>) -> tensor<?xf32> attributes {tw.host} {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?xf32>
  %e = tensor.empty(%n) : tensor<?xf32>
  %r = call @kernel_0(%x, %e) : (tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
  return %r : tensor<?xf32>
}

// -----

// A donated argument is written in place; any other one is copied first.
// CHECK-LABEL: func @main
// CHECK-SAME:    %[[KEPT:[a-z0-9]+]]: memref<8xf32>, %[[DONATED:[a-z0-9]+]]: memref<8xf32> {tw.donate}
// CHECK:         %[[COPY:.*]] = memref.alloc
// CHECK:         memref.copy %[[KEPT]], %[[COPY]]
// CHECK-NOT:     memref.alloc
// CHECK:         return %[[COPY]], %[[DONATED]]
func.func @main(%kept: tensor<8xf32>, %donated: tensor<8xf32> {tw.donate}, %u: tensor<2xf32>) -> (tensor<8xf32>, tensor<8xf32>)
    attributes {tw.host} {
  %a = tensor.insert_slice %u into %kept[4] [2] [1] : tensor<2xf32> into tensor<8xf32>
  %b = tensor.insert_slice %u into %donated[4] [2] [1] : tensor<2xf32> into tensor<8xf32>
  return %a, %b : tensor<8xf32>, tensor<8xf32>
}

// -----

// Calls that share a destination after CSE get one each, beside the call: the plan, not the analysis, shares memory.
// CHECK-LABEL: func @main
// CHECK:         %[[FIRST:.*]] = memref.alloc
// CHECK-NEXT:    call @kernel_0(%{{.*}}, %[[FIRST]])
// CHECK:         %[[SECOND:.*]] = memref.alloc
// CHECK-NEXT:    call @kernel_0(%[[FIRST]], %[[SECOND]])
// CHECK:         %[[THIRD:.*]] = memref.alloc
// CHECK-NEXT:    call @kernel_0(%[[SECOND]], %[[THIRD]])
// CHECK-NOT:     memref.alloc
func.func private @kernel_0(%x: tensor<16xf32>, %dest: tensor<16xf32>) -> tensor<16xf32> attributes {tw.kernel} {
  %c0 = arith.constant 0 : index
  %pad = arith.constant 0.0 : f32
  %v = vector.transfer_read %x[%c0], %pad {in_bounds = [true]} : tensor<16xf32>, vector<16xf32>
  %w = vector.transfer_write %v, %dest[%c0] {in_bounds = [true]} : vector<16xf32>, tensor<16xf32>
  return %w : tensor<16xf32>
}
func.func @main(%x: tensor<16xf32>) -> tensor<16xf32> attributes {tw.host} {
  %e = tensor.empty() : tensor<16xf32>
  %a = call @kernel_0(%x, %e) : (tensor<16xf32>, tensor<16xf32>) -> tensor<16xf32>
  %b = call @kernel_0(%a, %e) : (tensor<16xf32>, tensor<16xf32>) -> tensor<16xf32>
  %c = call @kernel_0(%b, %e) : (tensor<16xf32>, tensor<16xf32>) -> tensor<16xf32>
  return %c : tensor<16xf32>
}

// -----

// A call with several destinations gets each of them once.
// CHECK-LABEL: func @main
// CHECK-DAG:     %[[SINE:.*]] = memref.alloc() {{.*}} : memref<16xf32>
// CHECK-DAG:     %[[COSINE:.*]] = memref.alloc() {{.*}} : memref<16xf64>
// CHECK-NOT:     memref.alloc
// CHECK:         call @two(%{{.*}}, %[[SINE]], %[[COSINE]])
func.func private @two(%x: tensor<16xf32>, %a: tensor<16xf32>, %b: tensor<16xf64>) -> (tensor<16xf32>, tensor<16xf64>)
    attributes {tw.kernel} {
  %c0 = arith.constant 0 : index
  %pad = arith.constant 0.0 : f32
  %v = vector.transfer_read %x[%c0], %pad {in_bounds = [true]} : tensor<16xf32>, vector<16xf32>
  %w = vector.transfer_write %v, %a[%c0] {in_bounds = [true]} : vector<16xf32>, tensor<16xf32>
  %wide = arith.extf %v : vector<16xf32> to vector<16xf64>
  %z = vector.transfer_write %wide, %b[%c0] {in_bounds = [true]} : vector<16xf64>, tensor<16xf64>
  return %w, %z : tensor<16xf32>, tensor<16xf64>
}
func.func @main(%x: tensor<16xf32>) -> (tensor<16xf32>, tensor<16xf64>) attributes {tw.host} {
  %a = tensor.empty() : tensor<16xf32>
  %b = tensor.empty() : tensor<16xf64>
  %c:2 = call @two(%x, %a, %b) : (tensor<16xf32>, tensor<16xf32>, tensor<16xf64>) -> (tensor<16xf32>, tensor<16xf64>)
  return %c#0, %c#1 : tensor<16xf32>, tensor<16xf64>
}

// -----

// What a kernel returns was written to a tensor of its own, and copied by a write that has folded away: it goes to the
// destination at once.
// CHECK-LABEL: func private @folded
// CHECK-SAME:    %[[X:[a-z0-9]+]]: memref<16xf32>, %[[DEST:[a-z0-9]+]]: memref<16xf32>
// CHECK-NOT:     memref.alloc
// CHECK:         vector.transfer_write %{{.*}}, %[[DEST]]
// CHECK:         vector.transfer_write %{{.*}}, %[[DEST]]
func.func private @folded(%x: tensor<16xf32>, %dest: tensor<16xf32>) -> tensor<16xf32> attributes {tw.kernel} {
  %c0 = arith.constant 0 : index
  %c8 = arith.constant 8 : index
  %pad = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<16xf32>
  %v = vector.transfer_read %x[%c0], %pad {in_bounds = [true]} : tensor<16xf32>, vector<8xf32>
  %w = vector.transfer_write %v, %e[%c8] {in_bounds = [true]} : vector<8xf32>, tensor<16xf32>
  %u = vector.transfer_read %x[%c8], %pad {in_bounds = [true]} : tensor<16xf32>, vector<8xf32>
  %z = vector.transfer_write %u, %w[%c0] {in_bounds = [true]} : vector<8xf32>, tensor<16xf32>
  return %z : tensor<16xf32>
}

// -----

// Vectors that are written to a slice which goes back are written to the whole; reads of the slice, too.
// CHECK-LABEL: func private @tile
// CHECK-SAME:    %[[DEST:[a-z0-9]+]]: memref<8x?x64xf32>, %{{.*}}: vector<16xf32>, %{{.*}}: vector<16xi1>, %[[I:[a-z0-9]+]]: index
// CHECK-NOT:     memref.subview
// CHECK:         vector.transfer_read %[[DEST]][%c2, %{{.*}}, %c48]
// CHECK:         vector.transfer_write %{{.*}}, %[[DEST]][%c2, %[[I]], %c32]
// CHECK:         vector.transfer_write %{{.*}}, %[[DEST]][%c2, %{{.*}}, %c48], %{{.*}} {
// CHECK-NOT:     memref.copy
func.func private @tile(%dest: tensor<8x?x64xf32>, %v: vector<16xf32>, %m: vector<16xi1>, %i: index) -> tensor<8x?x64xf32>
    attributes {tw.kernel} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c16 = arith.constant 16 : index
  %pad = arith.constant 0.0 : f32
  %s = tensor.extract_slice %dest[2, %i, 32] [1, 4, 32] [1, 1, 1] : tensor<8x?x64xf32> to tensor<4x32xf32>
  %old = vector.transfer_read %s[%c1, %c16], %pad {in_bounds = [true]} : tensor<4x32xf32>, vector<16xf32>
  %sum = arith.addf %old, %v : vector<16xf32>
  %a = vector.transfer_write %v, %s[%c0, %c0] {in_bounds = [true]} : vector<16xf32>, tensor<4x32xf32>
  %b = vector.transfer_write %sum, %a[%c1, %c16], %m {in_bounds = [true]} : vector<16xf32>, tensor<4x32xf32>
  %r = tensor.insert_slice %b into %dest[2, %i, 32] [1, 4, 32] [1, 1, 1] : tensor<4x32xf32> into tensor<8x?x64xf32>
  return %r : tensor<8x?x64xf32>
}

// -----

// A slice that goes elsewhere stays one.
// CHECK-LABEL: func private @elsewhere
// CHECK:         memref.subview
func.func private @elsewhere(%dest: tensor<64xf32>, %v: vector<16xf32>) -> tensor<64xf32> attributes {tw.kernel} {
  %c0 = arith.constant 0 : index
  %s = tensor.extract_slice %dest[0] [32] [1] : tensor<64xf32> to tensor<32xf32>
  %a = vector.transfer_write %v, %s[%c0] {in_bounds = [true]} : vector<16xf32>, tensor<32xf32>
  %r = tensor.insert_slice %a into %dest[32] [32] [1] : tensor<32xf32> into tensor<64xf32>
  return %r : tensor<64xf32>
}
