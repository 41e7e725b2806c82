// RUN: tw-opt %s --tw-form-kernels | FileCheck %s

// A prologue that would take a contraction's columns away from the threads joins where batch loops remain for them, and only
// there: the loops of an epilogue, which reads all its inputs along all loops, are no batch loops of the contraction.

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(m, n) -> (m, n)>
#col = affine_map<(m, n) -> (n)>

// Must not fire.
// CHECK-LABEL: func.func @prologue_and_epilogue
// CHECK:         call @[[PROLOGUE:kernel_[0-9]+]]({{.*}}) {tw.unfused = ["it would be computed again for every column tile of the contraction"]}
// CHECK:         call @[[PRODUCT:kernel_[0-9]+]](
// CHECK-NOT:     call
// CHECK:         return
func.func @prologue_and_epilogue(%x: tensor<8x64xf32>, %b: tensor<64x96xf32>, %bias: tensor<96xf32>) -> tensor<8x96xf32> {
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<8x64xf32>
  %p = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<8x64xf32>) outs(%e0 : tensor<8x64xf32>) {
  ^bb0(%v: f32, %o: f32):
    %t = math.tanh %v : f32
    linalg.yield %t : f32
  } -> tensor<8x64xf32>
  %e = tensor.empty() : tensor<8x96xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x96xf32>) -> tensor<8x96xf32>
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%p, %b : tensor<8x64xf32>, tensor<64x96xf32>) outs(%f : tensor<8x96xf32>) {
  ^bb0(%v: f32, %w: f32, %acc: f32):
    %m = arith.mulf %v, %w : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<8x96xf32>
  %y = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]}
      ins(%r, %bias : tensor<8x96xf32>, tensor<96xf32>) outs(%e : tensor<8x96xf32>) {
  ^bb0(%v: f32, %w: f32, %o: f32):
    %s = arith.addf %v, %w : f32
    linalg.yield %s : f32
  } -> tensor<8x96xf32>
  return %y : tensor<8x96xf32>
}

#ba = affine_map<(h, m, n, k) -> (h, m, k)>
#bb = affine_map<(h, m, n, k) -> (h, k, n)>
#bc = affine_map<(h, m, n, k) -> (h, m, n)>
#id3 = affine_map<(h, m, n) -> (h, m, n)>

// CHECK-LABEL: func.func @batches
// CHECK:         call @kernel_{{[0-9]+}}({{.*}}) :
// CHECK-NOT:     call
// CHECK:         return
func.func @batches(%x: tensor<4x8x64xf32>, %b: tensor<4x64x96xf32>) -> tensor<4x8x96xf32> {
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<4x8x64xf32>
  %p = linalg.generic {indexing_maps = [#id3, #id3], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x : tensor<4x8x64xf32>) outs(%e0 : tensor<4x8x64xf32>) {
  ^bb0(%v: f32, %o: f32):
    %t = math.tanh %v : f32
    linalg.yield %t : f32
  } -> tensor<4x8x64xf32>
  %e = tensor.empty() : tensor<4x8x96xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x96xf32>) -> tensor<4x8x96xf32>
  %r = linalg.generic {indexing_maps = [#ba, #bb, #bc], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%p, %b : tensor<4x8x64xf32>, tensor<4x64x96xf32>) outs(%f : tensor<4x8x96xf32>) {
  ^bb0(%v: f32, %w: f32, %acc: f32):
    %m = arith.mulf %v, %w : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<4x8x96xf32>
  return %r : tensor<4x8x96xf32>
}

#tok = affine_map<(b, d, s) -> (b, s, d)>
#mask = affine_map<(b, d, s) -> (b, s)>
#scale = affine_map<(b, d, s) -> (b, d)>
#width = affine_map<(b, d, s) -> (d)>

// What does not vary along the sum (%w) takes no batch away.
// CHECK-LABEL: func.func @pooling
// CHECK:         call @kernel_{{[0-9]+}}({{.*}}) :
// CHECK-NOT:     call
// CHECK:         return
func.func @pooling(%x: tensor<4x8x64xf32>, %m: tensor<4x8xf32>, %w: tensor<64xf32>) -> tensor<4x64xf32> {
  %zero = arith.constant 0.0 : f32
  %e0 = tensor.empty() : tensor<4x8x64xf32>
  %p = linalg.generic {indexing_maps = [#id3, #id3], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%x : tensor<4x8x64xf32>) outs(%e0 : tensor<4x8x64xf32>) {
  ^bb0(%v: f32, %o: f32):
    %t = math.tanh %v : f32
    linalg.yield %t : f32
  } -> tensor<4x8x64xf32>
  %e = tensor.empty() : tensor<4x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x64xf32>) -> tensor<4x64xf32>
  %r = linalg.generic {indexing_maps = [#mask, #tok, #width, #scale], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%m, %p, %w : tensor<4x8xf32>, tensor<4x8x64xf32>, tensor<64xf32>) outs(%f : tensor<4x64xf32>) {
  ^bb0(%k: f32, %v: f32, %c: f32, %acc: f32):
    %q = arith.mulf %v, %c : f32
    %a = arith.mulf %k, %q : f32
    %s = arith.addf %acc, %a : f32
    linalg.yield %s : f32
  } -> tensor<4x64xf32>
  return %r : tensor<4x64xf32>
}
