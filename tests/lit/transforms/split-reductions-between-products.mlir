// RUN: tw-opt %s --pass-pipeline='builtin.module(func.func(tw-split-reductions{chunk=8 rows=4 between-products=false}))' --split-input-file | FileCheck %s
// RUN: tw-opt %s --pass-pipeline='builtin.module(func.func(tw-split-reductions{chunk=8 rows=4}))' --split-input-file | FileCheck %s --check-prefix=SPLIT

// The softmax of attention stays in one piece where the target shares out its keys itself.
// CHECK-LABEL: func @scores
// CHECK-NOT:     tw.partial
// SPLIT-LABEL: func @scores
// SPLIT:         tw.partial
#row = affine_map<(m, n) -> (m, n)>
#sum = affine_map<(m, n) -> (m)>
#lhs = affine_map<(m, n, k) -> (m, k)>
#rhs = affine_map<(m, n, k) -> (k, n)>
#out = affine_map<(m, n, k) -> (m, n)>
func.func @scores(%q: tensor<1x4xf32>, %k: tensor<4x?xf32>, %v: tensor<?x4xf32>, %s0: tensor<1x?xf32>, %m0: tensor<1xf32>, %o0: tensor<1x4xf32>) -> tensor<1x4xf32> {
  %s = linalg.generic {indexing_maps = [#lhs, #rhs, #out], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<1x4xf32>, tensor<4x?xf32>) outs(%s0 : tensor<1x?xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %r = arith.addf %acc, %p fastmath<reassoc,contract> : f32
    linalg.yield %r : f32
  } -> tensor<1x?xf32>
  %m = linalg.generic {indexing_maps = [#row, #sum], iterator_types = ["parallel", "reduction"]}
      ins(%s : tensor<1x?xf32>) outs(%m0 : tensor<1xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %r = arith.maximumf %acc, %a : f32
    linalg.yield %r : f32
  } -> tensor<1xf32>
  %w = linalg.generic {indexing_maps = [#row, #sum, #row], iterator_types = ["parallel", "parallel"]}
      ins(%s, %m : tensor<1x?xf32>, tensor<1xf32>) outs(%s0 : tensor<1x?xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %r = arith.subf %a, %b : f32
    linalg.yield %r : f32
  } -> tensor<1x?xf32>
  %o = linalg.generic {indexing_maps = [#lhs, #rhs, #out], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%w, %v : tensor<1x?xf32>, tensor<?x4xf32>) outs(%o0 : tensor<1x4xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %r = arith.addf %acc, %p fastmath<reassoc,contract> : f32
    linalg.yield %r : f32
  } -> tensor<1x4xf32>
  return %o : tensor<1x4xf32>
}

// -----

// A sum of a product that goes nowhere else is no attention.
// CHECK-LABEL: func @sum
// CHECK:         tw.partial
#row = affine_map<(m, n) -> (m, n)>
#sum = affine_map<(m, n) -> (m)>
#lhs = affine_map<(m, n, k) -> (m, k)>
#rhs = affine_map<(m, n, k) -> (k, n)>
#out = affine_map<(m, n, k) -> (m, n)>
func.func @sum(%q: tensor<1x4xf32>, %k: tensor<4x?xf32>, %s0: tensor<1x?xf32>, %m0: tensor<1xf32>) -> tensor<1xf32> {
  %s = linalg.generic {indexing_maps = [#lhs, #rhs, #out], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%q, %k : tensor<1x4xf32>, tensor<4x?xf32>) outs(%s0 : tensor<1x?xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %r = arith.addf %acc, %p fastmath<reassoc,contract> : f32
    linalg.yield %r : f32
  } -> tensor<1x?xf32>
  %m = linalg.generic {indexing_maps = [#row, #sum], iterator_types = ["parallel", "reduction"]}
      ins(%s : tensor<1x?xf32>) outs(%m0 : tensor<1xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %r = arith.addf %acc, %a fastmath<reassoc,contract> : f32
    linalg.yield %r : f32
  } -> tensor<1xf32>
  return %m : tensor<1xf32>
}
