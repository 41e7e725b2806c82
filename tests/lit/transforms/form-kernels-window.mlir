// RUN: tw-opt %s --tw-form-kernels | FileCheck %s

// A kernel that reads and writes windows of larger tensors says so in the layout of its arguments.

#id = affine_map<(m, n) -> (m, n)>

// CHECK-LABEL: func.func private @kernel_0
// CHECK-SAME:    tensor<4x8xf32> {bufferization.buffer_layout = strided<[?, 1], offset: ?>}
// CHECK-SAME:    tensor<4x8xf32> {bufferization.buffer_layout = strided<[?, 1], offset: ?>}
func.func @main(%x: tensor<16x64xf32>, %y: tensor<16x64xf32>) -> tensor<16x64xf32> {
  %a = tensor.extract_slice %x[2, 8] [4, 8] [1, 1] : tensor<16x64xf32> to tensor<4x8xf32>
  %b = tensor.extract_slice %y[0, 16] [4, 8] [1, 1] : tensor<16x64xf32> to tensor<4x8xf32>
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%a : tensor<4x8xf32>) outs(%b : tensor<4x8xf32>) {
  ^bb0(%v: f32, %o: f32):
    linalg.yield %v : f32
  } -> tensor<4x8xf32>
  %s = tensor.insert_slice %r into %y[0, 16] [4, 8] [1, 1] : tensor<4x8xf32> into tensor<16x64xf32>
  return %s : tensor<16x64xf32>
}
