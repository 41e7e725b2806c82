// RUN: tw-opt %s --tw-cuda-launches --canonicalize --split-input-file | FileCheck %s

// Two products and the softmax between them by warpgroups: whole tiles arrive by tensor maps, weights stay in registers.
// CHECK-LABEL: func private @kernel_0
// CHECK-NOT:     rt.scratch_push
// CHECK:         rt.launch_kernel @kernel_0_0[%{{.*}}, 384]
// CHECK-NOT:     rt.launch_kernel
// CHECK:       gpu.module @device
// CHECK:         func.func @kernel_0_0
// CHECK-COUNT-3: tw.tensor_map = {box = array<i64: 64, 128>, swizzle = 128 : i64, type = bf16}
// CHECK:         setmaxnreg.inc.sync.aligned.u32 240
// CHECK:         scf.for
// CHECK:           mbarrier.try_wait
// CHECK:           wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16
// CHECK:           mbarrier.arrive.shared::cta
// CHECK:           math.exp2
// CHECK:           mbarrier.try_wait
// CHECK:           wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {{.*}}}, {{[{][^}]*[}]}}, right, first, 1, 1, 1;
// CHECK:           mbarrier.arrive.shared::cta
// CHECK:         setmaxnreg.dec.sync.aligned.u32 24
// CHECK:           cp.async.bulk.tensor.2d
// CHECK:         scf.for
// CHECK:           cp.async.bulk.tensor.2d
#scores = affine_map<(m, n, k) -> (m, n)>
#q = affine_map<(m, n, k) -> (m, k)>
#k = affine_map<(m, n, k) -> (n, k)>
#v = affine_map<(m, n, k) -> (k, n)>
#all = affine_map<(m, n) -> (m, n)>
#row = affine_map<(m, n) -> (m)>
func.func private @kernel_0(%q: memref<128x64xbf16>, %k: memref<256x64xbf16>, %v: memref<256x64xbf16>, %y: memref<128x64xf32>) attributes {tw.kernel} {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %c0 = arith.constant 0 : index
  %bytes = arith.constant 131072 : index
  %place = rt.scratch_push %bytes : memref<?xi8>
  %s = memref.view %place[%c0][] : memref<?xi8> to memref<128x256xf32>
  %memory = rt.scratch_push %bytes : memref<?xi8>
  %r = memref.view %memory[%c0][] : memref<?xi8> to memref<128xf32>
  %other = rt.scratch_push %bytes : memref<?xi8>
  %w = memref.view %other[%c0][] : memref<?xi8> to memref<128x256xbf16>
  linalg.fill ins(%zero : f32) outs(%s : memref<128x256xf32>)
  linalg.generic {indexing_maps = [#q, #k, #scores], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%q, %k : memref<128x64xbf16>, memref<256x64xbf16>) outs(%s : memref<128x256xf32>) attrs = {tw.lowering = "warpgroup_attention", tw.tile = array<i64: 128, 2>} {
  ^bb0(%a: bf16, %b: bf16, %out: f32):
    %x = arith.extf %a : bf16 to f32
    %z = arith.extf %b : bf16 to f32
    %p = arith.mulf %x, %z : f32
    %t = arith.addf %out, %p : f32
    linalg.yield %t : f32
  }
  linalg.fill ins(%low : f32) outs(%r : memref<128xf32>)
  linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]}
      ins(%s : memref<128x256xf32>) outs(%r : memref<128xf32>) attrs = {tw.lowering = "warpgroup_attention", tw.tile = array<i64: 128, 2>} {
  ^bb0(%a: f32, %out: f32):
    %t = arith.maximumf %out, %a : f32
    linalg.yield %t : f32
  }
  linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]}
      ins(%s, %r : memref<128x256xf32>, memref<128xf32>) outs(%s : memref<128x256xf32>) attrs = {tw.lowering = "warpgroup_attention", tw.tile = array<i64: 128, 2>} {
  ^bb0(%a: f32, %m: f32, %out: f32):
    %d = arith.subf %a, %m : f32
    %t = math.exp %d : f32
    linalg.yield %t : f32
  }
  linalg.fill ins(%zero : f32) outs(%r : memref<128xf32>)
  linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]}
      ins(%s : memref<128x256xf32>) outs(%r : memref<128xf32>) attrs = {tw.lowering = "warpgroup_attention", tw.tile = array<i64: 128, 2>} {
  ^bb0(%a: f32, %out: f32):
    %t = arith.addf %out, %a : f32
    linalg.yield %t : f32
  }
  linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]}
      ins(%s, %r : memref<128x256xf32>, memref<128xf32>) outs(%w : memref<128x256xbf16>) attrs = {tw.lowering = "warpgroup_attention", tw.tile = array<i64: 128, 2>} {
  ^bb0(%a: f32, %m: f32, %out: bf16):
    %d = arith.divf %a, %m : f32
    %t = arith.truncf %d : f32 to bf16
    linalg.yield %t : bf16
  }
  linalg.fill ins(%zero : f32) outs(%y : memref<128x64xf32>)
  linalg.generic {indexing_maps = [#q, #v, #scores], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%w, %v : memref<128x256xbf16>, memref<256x64xbf16>) outs(%y : memref<128x64xf32>) attrs = {tw.lowering = "warpgroup_attention", tw.tile = array<i64: 128, 2>} {
  ^bb0(%a: bf16, %b: bf16, %out: f32):
    %x = arith.extf %a : bf16 to f32
    %z = arith.extf %b : bf16 to f32
    %p = arith.mulf %x, %z : f32
    %t = arith.addf %out, %p : f32
    linalg.yield %t : f32
  }
  rt.scratch_pop %other : memref<?xi8>
  rt.scratch_pop %memory : memref<?xi8>
  rt.scratch_pop %place : memref<?xi8>
  return
}

// -----

// Keys in a window of an array have no tensor map: the other kernel on tensor cores.
// CHECK-LABEL: func private @kernel_0
// CHECK:         rt.launch_kernel @kernel_0_0[%{{.*}}, 128]
// CHECK-NOT:     wgmma
// CHECK:         nvvm.mma.sync
#scores = affine_map<(m, n, k) -> (m, n)>
#q = affine_map<(m, n, k) -> (m, k)>
#k = affine_map<(m, n, k) -> (n, k)>
#v = affine_map<(m, n, k) -> (k, n)>
#all = affine_map<(m, n) -> (m, n)>
#row = affine_map<(m, n) -> (m)>
func.func private @kernel_0(%q: memref<128x64xbf16>, %k: memref<256x64xbf16, strided<[128, 1], offset: 64>>, %v: memref<256x64xbf16>, %y: memref<128x64xf32>) attributes {tw.kernel} {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %c0 = arith.constant 0 : index
  %bytes = arith.constant 131072 : index
  %place = rt.scratch_push %bytes : memref<?xi8>
  %s = memref.view %place[%c0][] : memref<?xi8> to memref<128x256xf32>
  %memory = rt.scratch_push %bytes : memref<?xi8>
  %r = memref.view %memory[%c0][] : memref<?xi8> to memref<128xf32>
  %other = rt.scratch_push %bytes : memref<?xi8>
  %w = memref.view %other[%c0][] : memref<?xi8> to memref<128x256xbf16>
  linalg.fill ins(%zero : f32) outs(%s : memref<128x256xf32>)
  linalg.generic {indexing_maps = [#q, #k, #scores], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%q, %k : memref<128x64xbf16>, memref<256x64xbf16, strided<[128, 1], offset: 64>>) outs(%s : memref<128x256xf32>) attrs = {tw.lowering = "warpgroup_attention", tw.tile = array<i64: 128, 2>} {
  ^bb0(%a: bf16, %b: bf16, %out: f32):
    %x = arith.extf %a : bf16 to f32
    %z = arith.extf %b : bf16 to f32
    %p = arith.mulf %x, %z : f32
    %t = arith.addf %out, %p : f32
    linalg.yield %t : f32
  }
  linalg.fill ins(%low : f32) outs(%r : memref<128xf32>)
  linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]}
      ins(%s : memref<128x256xf32>) outs(%r : memref<128xf32>) attrs = {tw.lowering = "warpgroup_attention", tw.tile = array<i64: 128, 2>} {
  ^bb0(%a: f32, %out: f32):
    %t = arith.maximumf %out, %a : f32
    linalg.yield %t : f32
  }
  linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]}
      ins(%s, %r : memref<128x256xf32>, memref<128xf32>) outs(%s : memref<128x256xf32>) attrs = {tw.lowering = "warpgroup_attention", tw.tile = array<i64: 128, 2>} {
  ^bb0(%a: f32, %m: f32, %out: f32):
    %d = arith.subf %a, %m : f32
    %t = math.exp %d : f32
    linalg.yield %t : f32
  }
  linalg.fill ins(%zero : f32) outs(%r : memref<128xf32>)
  linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]}
      ins(%s : memref<128x256xf32>) outs(%r : memref<128xf32>) attrs = {tw.lowering = "warpgroup_attention", tw.tile = array<i64: 128, 2>} {
  ^bb0(%a: f32, %out: f32):
    %t = arith.addf %out, %a : f32
    linalg.yield %t : f32
  }
  linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]}
      ins(%s, %r : memref<128x256xf32>, memref<128xf32>) outs(%w : memref<128x256xbf16>) attrs = {tw.lowering = "warpgroup_attention", tw.tile = array<i64: 128, 2>} {
  ^bb0(%a: f32, %m: f32, %out: bf16):
    %d = arith.divf %a, %m : f32
    %t = arith.truncf %d : f32 to bf16
    linalg.yield %t : bf16
  }
  linalg.fill ins(%zero : f32) outs(%y : memref<128x64xf32>)
  linalg.generic {indexing_maps = [#q, #v, #scores], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%w, %v : memref<128x256xbf16>, memref<256x64xbf16>) outs(%y : memref<128x64xf32>) attrs = {tw.lowering = "warpgroup_attention", tw.tile = array<i64: 128, 2>} {
  ^bb0(%a: bf16, %b: bf16, %out: f32):
    %x = arith.extf %a : bf16 to f32
    %z = arith.extf %b : bf16 to f32
    %p = arith.mulf %x, %z : f32
    %t = arith.addf %out, %p : f32
    linalg.yield %t : f32
  }
  rt.scratch_pop %other : memref<?xi8>
  rt.scratch_pop %memory : memref<?xi8>
  rt.scratch_pop %place : memref<?xi8>
  return
}
