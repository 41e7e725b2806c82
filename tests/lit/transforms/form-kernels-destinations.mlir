// RUN: tw-opt %s --tw-form-kernels --split-input-file | FileCheck %s

// Two results that start from one fill (cse made two equal ones into one) are written to two buffers.

#in = affine_map<(d) -> (d)>
#out = affine_map<(d) -> ()>

// CHECK-LABEL: func.func @main
// CHECK:         %[[VALUE:.*]] = tensor.empty() : tensor<i64>
// CHECK:         %[[PLACE:.*]] = tensor.empty() : tensor<i64>
// CHECK:         call @kernel_0(%{{.*}}, %[[VALUE]], %[[PLACE]])
// CHECK-LABEL: func.func private @kernel_0
// CHECK-SAME:    %[[A:[^:]*]]: tensor<9xi64>, %[[D0:[^:]*]]: tensor<i64>, %[[D1:[^:]*]]: tensor<i64>
// CHECK-DAG:     %[[F0:.*]] = linalg.fill {{.*}} outs(%[[D0]] :
// CHECK-DAG:     %[[F1:.*]] = linalg.fill {{.*}} outs(%[[D1]] :
// CHECK:         linalg.generic {{.*}} ins(%[[A]] : {{.*}} outs(%[[F0]], %[[F1]] :
func.func @main(%x: tensor<9xi64>) -> (tensor<i64>, tensor<i64>) {
  %most = arith.constant 9223372036854775807 : i64
  %e = tensor.empty() : tensor<i64>
  %f = linalg.fill ins(%most : i64) outs(%e : tensor<i64>) -> tensor<i64>
  %r:2 = linalg.generic {indexing_maps = [#in, #out, #out], iterator_types = ["reduction"]}
      ins(%x : tensor<9xi64>) outs(%f, %f : tensor<i64>, tensor<i64>) {
  ^bb0(%v: i64, %least: i64, %place: i64):
    %n = arith.minsi %v, %least : i64
    %p = arith.addi %v, %place : i64
    linalg.yield %n, %p : i64, i64
  } -> (tensor<i64>, tensor<i64>)
  return %r#0, %r#1 : tensor<i64>, tensor<i64>
}

// -----

// Two results that start from what one tensor holds: the second starts from a copy.

#in = affine_map<(d) -> (d)>
#out = affine_map<(d) -> ()>

// CHECK-LABEL: func.func @main
// CHECK-SAME:    %[[X:[^:]*]]: tensor<9xi64>, %[[START:[^:]*]]: tensor<i64>
// CHECK:         %[[COPY:.*]] = call @kernel_1(%[[START]], %{{.*}})
// CHECK:         call @kernel_0(%[[X]], %[[START]], %[[COPY]])
// CHECK-LABEL: func.func private @kernel_1
// CHECK:         linalg.copy
func.func @main(%x: tensor<9xi64>, %start: tensor<i64>) -> (tensor<i64>, tensor<i64>) {
  %r:2 = linalg.generic {indexing_maps = [#in, #out, #out], iterator_types = ["reduction"]}
      ins(%x : tensor<9xi64>) outs(%start, %start : tensor<i64>, tensor<i64>) {
  ^bb0(%v: i64, %least: i64, %sum: i64):
    %n = arith.minsi %v, %least : i64
    %p = arith.addi %v, %sum : i64
    linalg.yield %n, %p : i64, i64
  } -> (tensor<i64>, tensor<i64>)
  return %r#0, %r#1 : tensor<i64>, tensor<i64>
}

// -----

// Must not fire: destinations that differ stay what they are.

#id = affine_map<(d) -> (d)>

// CHECK-LABEL: func.func @main
// CHECK-SAME:    %[[X:[^:]*]]: tensor<9xf32>, %[[A:[^:]*]]: tensor<9xf32>, %[[B:[^:]*]]: tensor<9xf32>
// CHECK-NEXT:    call @kernel_0(%[[X]], %[[A]], %[[B]])
func.func @main(%x: tensor<9xf32>, %a: tensor<9xf32>, %b: tensor<9xf32>) -> (tensor<9xf32>, tensor<9xf32>) {
  %r:2 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]}
      ins(%x : tensor<9xf32>) outs(%a, %b : tensor<9xf32>, tensor<9xf32>) {
  ^bb0(%v: f32, %s: f32, %t: f32):
    %n = arith.addf %v, %s : f32
    %p = arith.mulf %v, %t : f32
    linalg.yield %n, %p : f32, f32
  } -> (tensor<9xf32>, tensor<9xf32>)
  return %r#0, %r#1 : tensor<9xf32>, tensor<9xf32>
}
