// RUN: tw-opt %s --tw-form-kernels | FileCheck %s

// A reduction along rows and the operation that reads it back along the same rows share a kernel; only rows stay parallel.

#id = affine_map<(m, n) -> (m, n)>
#row = affine_map<(m, n) -> (m)>

// CHECK-LABEL: func.func @main
// CHECK-COUNT-1: call @kernel_0
// CHECK-NOT:     call
// CHECK-LABEL: func.func private @kernel_0
// CHECK:         tw.parallel = array<i64: 0>
func.func @main(%x: tensor<?x768xf32>) -> tensor<?x768xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x768xf32>
  %e1 = tensor.empty(%m) : tensor<?xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<?xf32>) -> tensor<?xf32>
  %s = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x768xf32>) outs(%f1 : tensor<?xf32>) {
  ^bb0(%v: f32, %o: f32):
    %n = arith.addf %v, %o : f32
    linalg.yield %n : f32
  } -> tensor<?xf32>
  %e = tensor.empty(%m) : tensor<?x768xf32>
  %r = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %s : tensor<?x768xf32>, tensor<?xf32>) outs(%e : tensor<?x768xf32>) {
  ^bb0(%v: f32, %sum: f32, %o: f32):
    %n = arith.divf %v, %sum : f32
    linalg.yield %n : f32
  } -> tensor<?x768xf32>
  return %r : tensor<?x768xf32>
}
