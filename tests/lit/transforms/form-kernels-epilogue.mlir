// RUN: tw-opt %s --tw-form-kernels | FileCheck %s

// A contraction and the elementwise epilogue that reads it are one kernel, tiled along rows and columns.

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(m, n) -> (m, n)>

// CHECK-LABEL: func.func @main
// CHECK:         %[[E:.*]] = tensor.empty
// CHECK-NEXT:    %[[R:.*]] = call @kernel_0({{.*}}, %[[E]])
// CHECK-NEXT:    return %[[R]]
// CHECK-LABEL: func.func private @kernel_0
// CHECK-SAME:    attributes {tw.kernel}
// CHECK:         linalg.fill
// CHECK:         linalg.generic {{.*}}"reduction"
// CHECK:         linalg.generic {{.*}} outs(%arg{{[0-9]+}} : tensor<?x96xf32>) {{.*}}tw.parallel = array<i64: 0, 1>
func.func @main(%a: tensor<?x64xf32>, %b: tensor<64x96xf32>) -> tensor<?x96xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %a, %c0 : tensor<?x64xf32>
  %e = tensor.empty(%m) : tensor<?x96xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x96xf32>) -> tensor<?x96xf32>
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %b : tensor<?x64xf32>, tensor<64x96xf32>) outs(%f : tensor<?x96xf32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %p = arith.mulf %x, %y : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<?x96xf32>
  %t = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%r : tensor<?x96xf32>) outs(%e : tensor<?x96xf32>) {
  ^bb0(%x: f32, %o: f32):
    %n = math.tanh %x : f32
    linalg.yield %n : f32
  } -> tensor<?x96xf32>
  return %t : tensor<?x96xf32>
}
