// RUN: tw-opt %s --split-input-file --tw-form-kernels | FileCheck %s

// A column of a matrix, made a vector, is no dense window: neighbours lie a row apart. A row is dense, and so is a column of a
// matrix that has only one.

#id = affine_map<(m) -> (m)>

// CHECK-LABEL: func.func private @kernel_0
// CHECK-SAME:    tensor<16xf32> {bufferization.buffer_layout = strided<[?], offset: ?>}
// CHECK-SAME:    tensor<16xf32> {bufferization.buffer_layout = strided<[1], offset: ?>}
// CHECK-SAME:    tensor<16xf32> {bufferization.buffer_layout = strided<[1], offset: ?>}
func.func @main(%x: tensor<16x64xf32>, %y: tensor<4x16xf32>, %z: tensor<99x1xf32>) -> tensor<16xf32> {
  %a = tensor.extract_slice %x[0, 3] [16, 1] [1, 1] : tensor<16x64xf32> to tensor<16x1xf32>
  %column = tensor.collapse_shape %a [[0, 1]] : tensor<16x1xf32> into tensor<16xf32>
  %b = tensor.extract_slice %y[2, 0] [1, 16] [1, 1] : tensor<4x16xf32> to tensor<1x16xf32>
  %row = tensor.collapse_shape %b [[0, 1]] : tensor<1x16xf32> into tensor<16xf32>
  %only = tensor.extract_slice %z[5, 0] [16, 1] [1, 1] : tensor<99x1xf32> to tensor<16xf32>
  %e = tensor.empty() : tensor<16xf32>
  %r = linalg.generic {indexing_maps = [#id, #id, #id, #id], iterator_types = ["parallel"]}
      ins(%column, %row, %only : tensor<16xf32>, tensor<16xf32>, tensor<16xf32>) outs(%e : tensor<16xf32>) {
  ^bb0(%u: f32, %v: f32, %w: f32, %o: f32):
    %1 = arith.addf %u, %v : f32
    %2 = arith.addf %1, %w : f32
    linalg.yield %2 : f32
  } -> tensor<16xf32>
  return %r : tensor<16xf32>
}

// -----

// The same where no size is known: rows are read directly, which keeps the step of 1; a collapse would forget it.

#row = affine_map<(m, n) -> (n)>
#column = affine_map<(m, n) -> (m)>
#all = affine_map<(m, n) -> (m, n)>

// CHECK-LABEL: func.func @main
// CHECK-NOT:     collapse_shape
// CHECK:         tensor.extract_slice %{{.*}}[0, 0] [1, %{{.*}}] [1, 1] : tensor<?x?xf32> to tensor<?xf32>
// CHECK-LABEL: func.func private @kernel_0
// CHECK-SAME:    tensor<?xf32> {bufferization.buffer_layout = strided<[1], offset: ?>}
// CHECK-SAME:    tensor<?xf32> {bufferization.buffer_layout = strided<[?], offset: ?>}
func.func @main(%x: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %x, %c0 : tensor<?x?xf32>
  %n = tensor.dim %x, %c1 : tensor<?x?xf32>
  %a = tensor.extract_slice %x[0, 0] [1, %n] [1, 1] : tensor<?x?xf32> to tensor<1x?xf32>
  %r = tensor.collapse_shape %a [[0, 1]] : tensor<1x?xf32> into tensor<?xf32>
  %b = tensor.extract_slice %x[0, 0] [%m, 1] [1, 1] : tensor<?x?xf32> to tensor<?x1xf32>
  %c = tensor.collapse_shape %b [[0, 1]] : tensor<?x1xf32> into tensor<?xf32>
  %e = tensor.empty(%m, %n) : tensor<?x?xf32>
  %s = linalg.generic {indexing_maps = [#row, #column, #all], iterator_types = ["parallel", "parallel"]}
      ins(%r, %c : tensor<?xf32>, tensor<?xf32>) outs(%e : tensor<?x?xf32>) {
  ^bb0(%u: f32, %v: f32, %o: f32):
    %1 = arith.addf %u, %v : f32
    linalg.yield %1 : f32
  } -> tensor<?x?xf32>
  return %s : tensor<?x?xf32>
}
