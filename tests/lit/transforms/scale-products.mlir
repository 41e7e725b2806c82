// RUN: tw-opt %s --split-input-file --pass-pipeline="builtin.module(func.func(tw-scale-products))" | FileCheck %s

// Attention: what is normalised is the result, which has fewer elements than there are weights. Sizes may be dynamic.

// CHECK-LABEL: func.func @attention
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<2x3x?x512xf32>, %[[V:[a-z0-9]+]]:
// CHECK: %[[W:.*]] = tw.exp %[[X]]
// CHECK: %[[SUM:.*]] = tw.sum %[[W]] dims = [3]
// CHECK: %[[INVERSE:.*]] = tw.reciprocal %[[SUM]]
// CHECK-NOT: tw.mul %[[W]]
// CHECK: %[[R:.*]] = tw.dot_general %[[W]], %[[V]]
// CHECK: %[[ROWS:.*]] = tw.dim
// CHECK: %[[F:.*]] = tw.broadcast %[[INVERSE]] sizes(%[[ROWS]]) dims = [0, 1, 2] : tensor<2x3x?xf32> -> tensor<2x3x?x64xf32>
// CHECK: %[[SCALED:.*]] = tw.mul %[[R]], %[[F]]
// CHECK: return %[[SCALED]]
func.func @attention(%x: tensor<2x3x?x512xf32>, %v: tensor<2x3x512x64xf32>) -> tensor<2x3x?x64xf32> {
  %w = tw.exp %x : tensor<2x3x?x512xf32>
  %n = tw.dim %w axis = 2 : tensor<2x3x?x512xf32>
  %s = tw.sum %w dims = [3] : tensor<2x3x?x512xf32> -> tensor<2x3x?xf32>
  %i = tw.reciprocal %s : tensor<2x3x?xf32>
  %b = tw.broadcast %i sizes(%n) dims = [0, 1, 2] : tensor<2x3x?xf32> -> tensor<2x3x?x512xf32>
  %m = tw.mul %w, %b : tensor<2x3x?x512xf32>
  %r = tw.dot_general %m, %v lhs_batch = [0, 1] rhs_batch = [0, 1] lhs_contract = [3] rhs_contract = [2] : tensor<2x3x?x512xf32>, tensor<2x3x512x64xf32> -> tensor<2x3x?x64xf32>
  return %r : tensor<2x3x?x64xf32>
}

// -----

// Must not fire: more columns than weights in a row; sums of something else; weights that somebody else reads, too;
// weights that are no exponentials.

// CHECK-LABEL: func.func @columns
// CHECK: %[[M:.*]] = tw.mul
// CHECK: tw.dot_general %[[M]]
// CHECK-NOT: tw.mul
func.func @columns(%y: tensor<8x16xf32>, %v: tensor<16x64xf32>) -> tensor<8x64xf32> {
  %w = tw.exp %y : tensor<8x16xf32>
  %s = tw.sum %w dims = [1] : tensor<8x16xf32> -> tensor<8xf32>
  %i = tw.reciprocal %s : tensor<8xf32>
  %b = tw.broadcast %i dims = [0] : tensor<8xf32> -> tensor<8x16xf32>
  %m = tw.mul %w, %b : tensor<8x16xf32>
  %r = tw.dot_general %m, %v lhs_contract = [1] rhs_contract = [0] : tensor<8x16xf32>, tensor<16x64xf32> -> tensor<8x64xf32>
  return %r : tensor<8x64xf32>
}

// CHECK-LABEL: func.func @others
// CHECK: %[[M:.*]] = tw.mul
// CHECK: tw.dot_general %[[M]]
// CHECK-NOT: tw.mul
func.func @others(%y: tensor<8x64xf32>, %x: tensor<8x64xf32>, %v: tensor<64x16xf32>) -> tensor<8x16xf32> {
  %w = tw.exp %y : tensor<8x64xf32>
  %s = tw.sum %x dims = [1] : tensor<8x64xf32> -> tensor<8xf32>
  %i = tw.reciprocal %s : tensor<8xf32>
  %b = tw.broadcast %i dims = [0] : tensor<8xf32> -> tensor<8x64xf32>
  %m = tw.mul %w, %b : tensor<8x64xf32>
  %r = tw.dot_general %m, %v lhs_contract = [1] rhs_contract = [0] : tensor<8x64xf32>, tensor<64x16xf32> -> tensor<8x16xf32>
  return %r : tensor<8x16xf32>
}

// CHECK-LABEL: func.func @read
// CHECK: %[[M:.*]] = tw.mul
// CHECK: tw.dot_general %[[M]]
// CHECK-NOT: tw.mul
func.func @read(%y: tensor<8x64xf32>, %v: tensor<64x16xf32>) -> (tensor<8x16xf32>, tensor<8x64xf32>) {
  %w = tw.exp %y : tensor<8x64xf32>
  %s = tw.sum %w dims = [1] : tensor<8x64xf32> -> tensor<8xf32>
  %i = tw.reciprocal %s : tensor<8xf32>
  %b = tw.broadcast %i dims = [0] : tensor<8xf32> -> tensor<8x64xf32>
  %m = tw.mul %w, %b : tensor<8x64xf32>
  %r = tw.dot_general %m, %v lhs_contract = [1] rhs_contract = [0] : tensor<8x64xf32>, tensor<64x16xf32> -> tensor<8x16xf32>
  return %r, %m : tensor<8x16xf32>, tensor<8x64xf32>
}

// CHECK-LABEL: func.func @plain
// CHECK: %[[M:.*]] = tw.mul
// CHECK: tw.dot_general %[[M]]
// CHECK-NOT: tw.mul
func.func @plain(%w: tensor<8x64xf32>, %v: tensor<64x16xf32>) -> tensor<8x16xf32> {
  %s = tw.sum %w dims = [1] : tensor<8x64xf32> -> tensor<8xf32>
  %i = tw.reciprocal %s : tensor<8xf32>
  %b = tw.broadcast %i dims = [0] : tensor<8xf32> -> tensor<8x64xf32>
  %m = tw.mul %w, %b : tensor<8x64xf32>
  %r = tw.dot_general %m, %v lhs_contract = [1] rhs_contract = [0] : tensor<8x64xf32>, tensor<64x16xf32> -> tensor<8x16xf32>
  return %r : tensor<8x16xf32>
}
