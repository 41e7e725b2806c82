// RUN: tw-opt %s --split-input-file --tw-fuse-elementwise | FileCheck %s

// Twenty rows are many: a weight is dequantised once for all of them, unless they were rounded to bytes and meet its
// integers.

#target = #tw.target<kind = "cpu", cpu = "znver4", features = "", facts = {group_i8 = 4 : i64}>
#id = affine_map<(n, g, k) -> (n, g, k)>
#group = affine_map<(n, g, k) -> (n, g)>
#x = affine_map<(m, n, g, k) -> (m, g, k)>
#w = affine_map<(m, n, g, k) -> (n, g, k)>
#y = affine_map<(m, n, g, k) -> (m, n)>

module attributes {tw.target = #target} {
// CHECK-LABEL: func.func @rounded
// CHECK: linalg.generic {{.*}} ins(%{{.*}} : tensor<20x2x32xi8>, tensor<20x2xf32>)
// CHECK: linalg.generic {{.*}} ins(%{{.*}} : tensor<20x2x32xf32>, tensor<40x2x32xi8>, tensor<40x2xf32>)
// CHECK-NOT: linalg.generic
// CHECK: return
func.func @rounded(%xq: tensor<20x2x32xi8>, %xs: tensor<20x2xf32>, %q: tensor<40x2x32xi8>, %s: tensor<40x2xf32>,
                   %out: tensor<20x40xf32>) -> tensor<20x40xf32> {
  %0 = tensor.empty() : tensor<20x2x32xf32>
  %x = linalg.generic {indexing_maps = [#id, #group, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%xq, %xs : tensor<20x2x32xi8>, tensor<20x2xf32>) outs(%0 : tensor<20x2x32xf32>) attrs = {tw.dequantize} {
  ^bb0(%byte: i8, %scale: f32, %o: f32):
    %f = arith.sitofp %byte : i8 to f32
    %p = arith.mulf %f, %scale : f32
    linalg.yield %p : f32
  } -> tensor<20x2x32xf32>
  %1 = tensor.empty() : tensor<40x2x32xf32>
  %w = linalg.generic {indexing_maps = [#id, #group, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%q, %s : tensor<40x2x32xi8>, tensor<40x2xf32>) outs(%1 : tensor<40x2x32xf32>) attrs = {tw.dequantize} {
  ^bb0(%byte: i8, %scale: f32, %o: f32):
    %wide = arith.extsi %byte : i8 to i32
    %f = arith.sitofp %wide : i32 to f32
    %p = arith.mulf %scale, %f : f32
    linalg.yield %p : f32
  } -> tensor<40x2x32xf32>
  %r = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
      ins(%x, %w : tensor<20x2x32xf32>, tensor<40x2x32xf32>) outs(%out : tensor<20x40xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %sum = arith.addf %acc, %p : f32
    linalg.yield %sum : f32
  } -> tensor<20x40xf32>
  return %r : tensor<20x40xf32>
}
}

// -----

// Must not fire: float rows.

#target = #tw.target<kind = "cpu", cpu = "znver4", features = "", facts = {group_i8 = 4 : i64}>
#id = affine_map<(n, g, k) -> (n, g, k)>
#group = affine_map<(n, g, k) -> (n, g)>
#x = affine_map<(m, n, g, k) -> (m, g, k)>
#w = affine_map<(m, n, g, k) -> (n, g, k)>
#y = affine_map<(m, n, g, k) -> (m, n)>

module attributes {tw.target = #target} {
// CHECK-LABEL: func.func @floats
// CHECK: linalg.generic {{.*}} ins(%{{.*}} : tensor<40x2x32xi8>, tensor<40x2xf32>)
// CHECK-SAME: tw.panel
// CHECK: linalg.generic {{.*}} ins(%{{.*}} : tensor<20x2x32xf32>, tensor<40x2x32xf32>)
func.func @floats(%x: tensor<20x2x32xf32>, %q: tensor<40x2x32xi8>, %s: tensor<40x2xf32>,
                  %out: tensor<20x40xf32>) -> tensor<20x40xf32> {
  %1 = tensor.empty() : tensor<40x2x32xf32>
  %w = linalg.generic {indexing_maps = [#id, #group, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%q, %s : tensor<40x2x32xi8>, tensor<40x2xf32>) outs(%1 : tensor<40x2x32xf32>) attrs = {tw.dequantize} {
  ^bb0(%byte: i8, %scale: f32, %o: f32):
    %wide = arith.extsi %byte : i8 to i32
    %f = arith.sitofp %wide : i32 to f32
    %p = arith.mulf %scale, %f : f32
    linalg.yield %p : f32
  } -> tensor<40x2x32xf32>
  %r = linalg.generic {indexing_maps = [#x, #w, #y], iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
      ins(%x, %w : tensor<20x2x32xf32>, tensor<40x2x32xf32>) outs(%out : tensor<20x40xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %sum = arith.addf %acc, %p : f32
    linalg.yield %sum : f32
  } -> tensor<20x40xf32>
  return %r : tensor<20x40xf32>
}
}
