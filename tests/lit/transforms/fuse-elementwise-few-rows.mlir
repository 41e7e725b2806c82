// RUN: tw-opt %s --pass-pipeline='builtin.module(func.func(tw-fuse-elementwise))' | FileCheck %s --check-prefix=FOUR
// RUN: tw-opt %s --pass-pipeline='builtin.module(func.func(tw-fuse-elementwise{rows=8}))' | FileCheck %s --check-prefix=EIGHT

#id = affine_map<(n, k) -> (n, k)>
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>

// Six rows read a weight: whether each dequantises it for itself is what the target says.
// FOUR-LABEL:  func.func @six_rows
// FOUR:          linalg.generic
// FOUR-SAME:       tw.panel
// FOUR:          linalg.generic
// EIGHT-LABEL: func.func @six_rows
// EIGHT:         linalg.generic
// EIGHT:           arith.sitofp
// EIGHT:           arith.addf
// EIGHT-NOT:     linalg.generic
func.func @six_rows(%x: tensor<6x64xf32>, %w: tensor<32x64xi8>, %y: tensor<6x32xf32>) -> tensor<6x32xf32> {
  %empty = tensor.empty() : tensor<32x64xf32>
  %numbers = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%w : tensor<32x64xi8>) outs(%empty : tensor<32x64xf32>) attrs = {tw.dequantize} {
  ^bb0(%in: i8, %out: f32):
    %float = arith.sitofp %in : i8 to f32
    linalg.yield %float : f32
  } -> tensor<32x64xf32>
  %product = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %numbers : tensor<6x64xf32>, tensor<32x64xf32>) outs(%y : tensor<6x32xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %term = arith.mulf %a, %b : f32
    %sum = arith.addf %out, %term : f32
    linalg.yield %sum : f32
  } -> tensor<6x32xf32>
  return %product : tensor<6x32xf32>
}
