// RUN: tw-opt %s --tw-to-linalg | FileCheck %s

// CHECK-DAG: #[[$ROW:.*]] = affine_map<(d0, d1) -> (d1)>
// CHECK-DAG: #[[$SWAP:.*]] = affine_map<(d0, d1) -> (d1, d0)>

// CHECK-LABEL: func.func @broadcast
// CHECK: linalg.generic {indexing_maps = [#[[$ROW]],
func.func @broadcast(%x: tensor<4xf32>, %n: index) -> tensor<?x4xf32> {
  %0 = tw.broadcast %x sizes(%n) dims = [1] : tensor<4xf32> -> tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}

// CHECK-LABEL: func.func @transpose
// CHECK: linalg.generic {indexing_maps = [#[[$SWAP]],
func.func @transpose(%x: tensor<?x4xf32>) -> tensor<4x?xf32> {
  %0 = tw.transpose %x permutation = [1, 0] : tensor<?x4xf32> -> tensor<4x?xf32>
  return %0 : tensor<4x?xf32>
}

// Offsets that are values are clamped, constants that fit are not.
// CHECK-LABEL: func.func @boxes
// CHECK: arith.minsi
// CHECK: %[[AT:.*]] = arith.maxsi
// CHECK: tensor.insert_slice %{{.*}} into %{{.*}}[%[[AT]], 2]
func.func @boxes(%x: tensor<?x8xf32>, %u: tensor<1x4xf32>, %i: index) -> tensor<?x8xf32> {
  %0 = tw.update_slice %x, %u[%i, 2] : tensor<?x8xf32>, tensor<1x4xf32>
  return %0 : tensor<?x8xf32>
}

// CHECK-LABEL: func.func @concat
// CHECK: tensor.insert_slice %{{.*}} into %{{.*}}[0, 0] [2, 4] [1, 1]
// CHECK: tensor.insert_slice %{{.*}} into %{{.*}}[2, 0] [3, 4] [1, 1]
func.func @concat(%a: tensor<2x4xf32>, %b: tensor<3x4xf32>) -> tensor<5x4xf32> {
  %0 = tw.concat %a, %b axis = 0 : (tensor<2x4xf32>, tensor<3x4xf32>) -> tensor<5x4xf32>
  return %0 : tensor<5x4xf32>
}

// The position is brought into range inside the loops: no read outside of the tensor.
// CHECK-LABEL: func.func @gather
// CHECK: linalg.generic
// CHECK: arith.minsi
// CHECK: arith.maxsi
// CHECK: tensor.extract
func.func @gather(%x: tensor<?x4xf32>, %i: tensor<5xi32>) -> tensor<5x4xf32> {
  %0 = tw.gather %x, %i axis = 0 {mode = "clip"} : tensor<?x4xf32>, tensor<5xi32> -> tensor<5x4xf32>
  return %0 : tensor<5x4xf32>
}

// CHECK-LABEL: func.func @scatter
// CHECK: scf.for
// CHECK: tensor.extract_slice
// CHECK: linalg.generic
// CHECK: tensor.insert_slice
func.func @scatter(%x: tensor<?x4xf32>, %i: tensor<5xi32>, %u: tensor<5x4xf32>) -> tensor<?x4xf32> {
  %0 = tw.scatter %x, %i, %u axis = 0 kind = "add" : tensor<?x4xf32>, tensor<5xi32>, tensor<5x4xf32>
  return %0 : tensor<?x4xf32>
}

// CHECK-LABEL: func.func @check
// CHECK: tensor.extract
// CHECK: tw.check %{{.*}}, "positive" : i1
func.func @check(%p: tensor<i1>) {
  tw.check %p, "positive" : tensor<i1>
  return
}
