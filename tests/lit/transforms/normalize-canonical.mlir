// RUN: tw-opt %s --tw-normalize | FileCheck %s

// CHECK-LABEL: func.func @views
// CHECK-NEXT: return %arg0
func.func @views(%x: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %0 = tw.transpose %x permutation = [1, 0] : tensor<2x4xf32> -> tensor<4x2xf32>
  %1 = tw.transpose %0 permutation = [1, 0] : tensor<4x2xf32> -> tensor<2x4xf32>
  %2 = tw.reshape %1 : tensor<2x4xf32> -> tensor<8xf32>
  %3 = tw.reshape %2 : tensor<8xf32> -> tensor<2x4xf32>
  %4 = tw.slice %3[0, 0] [2, 4] [1, 1] : tensor<2x4xf32> -> tensor<2x4xf32>
  return %4 : tensor<2x4xf32>
}

// A size is traced back to an argument.
// CHECK-LABEL: func.func @sizes
// CHECK-NEXT: tw.dim %arg0 axis = 1
// CHECK-NEXT: return
func.func @sizes(%x: tensor<4x?xf32>) -> index {
  %0 = tw.transpose %x permutation = [1, 0] : tensor<4x?xf32> -> tensor<?x4xf32>
  %1 = tw.exp %0 : tensor<?x4xf32>
  %n = tw.dim %1 axis = 0 : tensor<?x4xf32>
  return %n : index
}

// A cast that loses something stays.
// CHECK-LABEL: func.func @casts
// CHECK: tw.cast %arg0 : tensor<4xf16> to tensor<4xf64>
// CHECK: tw.cast %arg1 : tensor<4xf32> to tensor<4xf16>
// CHECK: tw.cast %{{.*}} : tensor<4xf16> to tensor<4xf32>
func.func @casts(%x: tensor<4xf16>, %y: tensor<4xf32>) -> (tensor<4xf64>, tensor<4xf32>) {
  %0 = tw.cast %x : tensor<4xf16> to tensor<4xf32>
  %1 = tw.cast %0 : tensor<4xf32> to tensor<4xf64>
  %2 = tw.cast %y : tensor<4xf32> to tensor<4xf16>
  %3 = tw.cast %2 : tensor<4xf16> to tensor<4xf32>
  return %1, %3 : tensor<4xf64>, tensor<4xf32>
}

// x + 0 is not x: it turns -0 into 0. x + -0 is.
// CHECK-LABEL: func.func @zeros
// CHECK: %[[SUM:.*]] = tw.add
// CHECK-NEXT: return %[[SUM]], %arg0
func.func @zeros(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %zero = arith.constant dense<0.0> : tensor<4xf32>
  %minus = arith.constant dense<-0.0> : tensor<4xf32>
  %0 = tw.add %x, %zero : tensor<4xf32>
  %1 = tw.add %x, %minus : tensor<4xf32>
  return %0, %1 : tensor<4xf32>, tensor<4xf32>
}
