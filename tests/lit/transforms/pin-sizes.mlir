// RUN: tw-opt %s --split-input-file --tw-pin-sizes | FileCheck %s

// Sizes go from the argument through the program to the result; the symbol that stays open does too.
// CHECK-LABEL: func.func @main
// CHECK-SAME:    (%[[X:.*]]: tensor<7x?xf32> {tw.dims = ["", "m"]}) -> tensor<7x?xf32>
// CHECK-NOT:     tensor.cast
// CHECK:         %[[E:.*]] = tensor.empty(%{{.*}}) : tensor<7x?xf32>
// CHECK:         %[[R:.*]] = linalg.generic {{.*}} ins(%[[X]] : tensor<7x?xf32>) outs(%[[E]] : tensor<7x?xf32>)
// CHECK:         return %[[R]] : tensor<7x?xf32>
#id = affine_map<(i, j) -> (i, j)>
tw.dim_symbol @n {min = 7 : i64, max = 7 : i64}
tw.dim_symbol @m {min = 1 : i64, max = 64 : i64}
func.func @main(%x: tensor<?x?xf32> {tw.dims = ["n", "m"]}) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = tensor.dim %x, %c0 : tensor<?x?xf32>
  %m = tensor.dim %x, %c1 : tensor<?x?xf32>
  %e = tensor.empty(%n, %m) : tensor<?x?xf32>
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<?x?xf32>) outs(%e : tensor<?x?xf32>) {
  ^bb0(%v: f32, %o: f32):
    %s = arith.addf %v, %v : f32
    linalg.yield %s : f32
  } -> tensor<?x?xf32>
  return %r : tensor<?x?xf32>
}

// -----

// What is not known to have one value stays as it is, down to dead sizes.
// CHECK-LABEL: func.func @main
// CHECK-SAME:    (%{{.*}}: tensor<?xf32> {tw.dims = ["n"]}) -> tensor<?xf32>
// CHECK:         tensor.dim
tw.dim_symbol @n {min = 6 : i64, max = 7 : i64}
func.func @main(%x: tensor<?xf32> {tw.dims = ["n"]}) -> tensor<?xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?xf32>
  return %x : tensor<?xf32>
}

// -----

// A loop that carries the tensor does not stop the size.
// CHECK-LABEL: func.func @main
// CHECK-SAME:    tensor<5xf32> {tw.dims = [""]}) -> tensor<5xf32>
// CHECK:         scf.for {{.*}} iter_args(%{{.*}} = %{{.*}}) -> (tensor<5xf32>)
#row = affine_map<(i) -> (i)>
tw.dim_symbol @n {min = 5 : i64, max = 5 : i64}
func.func @main(%x: tensor<?xf32> {tw.dims = ["n"]}) -> tensor<?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %r = scf.for %i = %c0 to %c9 step %c1 iter_args(%a = %x) -> (tensor<?xf32>) {
    %n = tensor.dim %a, %c0 : tensor<?xf32>
    %e = tensor.empty(%n) : tensor<?xf32>
    %s = linalg.generic {indexing_maps = [#row, #row], iterator_types = ["parallel"]}
        ins(%a : tensor<?xf32>) outs(%e : tensor<?xf32>) {
    ^bb0(%v: f32, %o: f32):
      %t = arith.mulf %v, %v : f32
      linalg.yield %t : f32
    } -> tensor<?xf32>
    scf.yield %s : tensor<?xf32>
  }
  return %r : tensor<?xf32>
}
