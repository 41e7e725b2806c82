// RUN: tw-opt %s --tw-cuda-launches --canonicalize --split-input-file | FileCheck %s

// Two products and the softmax between them are one kernel: no memory for scores, copies ahead of what is multiplied.
// CHECK-LABEL: func private @kernel_0
// CHECK-NOT:     rt.scratch_push
// CHECK-COUNT-1: rt.launch_kernel @kernel_0_0[%{{.*}}, 128]
// CHECK-NOT:     rt.launch_kernel
// CHECK:       gpu.module @device
// CHECK:         nvvm.cp.async.shared.global
// CHECK:         scf.for
// CHECK:           llvm.intr.fma
// CHECK:           nvvm.shfl.sync bfly
// CHECK:           math.exp2
// CHECK:           nvvm.cp.async.wait.group 1
// CHECK-NEXT:      nvvm.bar.warp.sync
// CHECK:           llvm.intr.fma
// CHECK:           nvvm.cp.async.wait.group 0
#scores = affine_map<(m, n, k) -> (m, n)>
#q = affine_map<(m, n, k) -> (m, k)>
#k = affine_map<(m, n, k) -> (n, k)>
#v = affine_map<(m, n, k) -> (k, n)>
#all = affine_map<(m, n) -> (m, n)>
#row = affine_map<(m, n) -> (m)>
func.func private @kernel_0(%q: memref<2x16xf32>, %k: memref<?x16xf32>, %v: memref<?x16xf32>, %y: memref<2x16xf32>) attributes {tw.kernel} {
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %c0 = arith.constant 0 : index
  %c8 = arith.constant 8 : index
  %n = memref.dim %k, %c0 : memref<?x16xf32>
  %bytes = arith.muli %n, %c8 : index
  %place = rt.scratch_push %bytes : memref<?xi8>
  %s = memref.view %place[%c0][%n] : memref<?xi8> to memref<2x?xf32>
  %memory = rt.scratch_push %c8 : memref<?xi8>
  %r = memref.view %memory[%c0][] : memref<?xi8> to memref<2xf32>
  linalg.fill ins(%zero : f32) outs(%s : memref<2x?xf32>)
  linalg.generic {indexing_maps = [#q, #k, #scores], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%q, %k : memref<2x16xf32>, memref<?x16xf32>) outs(%s : memref<2x?xf32>) attrs = {tw.lowering = "plain_attention", tw.tile = array<i64: 2, 1, 4, 1, 256>} {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %p = arith.mulf %a, %b : f32
    %t = arith.addf %out, %p : f32
    linalg.yield %t : f32
  }
  linalg.fill ins(%low : f32) outs(%r : memref<2xf32>)
  linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]}
      ins(%s : memref<2x?xf32>) outs(%r : memref<2xf32>) attrs = {tw.lowering = "plain_attention", tw.tile = array<i64: 2, 1, 4, 1, 256>} {
  ^bb0(%a: f32, %out: f32):
    %t = arith.maximumf %out, %a : f32
    linalg.yield %t : f32
  }
  linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]}
      ins(%s, %r : memref<2x?xf32>, memref<2xf32>) outs(%s : memref<2x?xf32>) attrs = {tw.lowering = "plain_attention", tw.tile = array<i64: 2, 1, 4, 1, 256>} {
  ^bb0(%a: f32, %m: f32, %out: f32):
    %d = arith.subf %a, %m : f32
    %t = math.exp %d : f32
    linalg.yield %t : f32
  }
  linalg.fill ins(%zero : f32) outs(%r : memref<2xf32>)
  linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]}
      ins(%s : memref<2x?xf32>) outs(%r : memref<2xf32>) attrs = {tw.lowering = "plain_attention", tw.tile = array<i64: 2, 1, 4, 1, 256>} {
  ^bb0(%a: f32, %out: f32):
    %t = arith.addf %out, %a : f32
    linalg.yield %t : f32
  }
  linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]}
      ins(%s, %r : memref<2x?xf32>, memref<2xf32>) outs(%s : memref<2x?xf32>) attrs = {tw.lowering = "plain_attention", tw.tile = array<i64: 2, 1, 4, 1, 256>} {
  ^bb0(%a: f32, %m: f32, %out: f32):
    %t = arith.divf %a, %m : f32
    linalg.yield %t : f32
  }
  linalg.fill ins(%zero : f32) outs(%y : memref<2x16xf32>)
  linalg.generic {indexing_maps = [#q, #v, #scores], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%s, %v : memref<2x?xf32>, memref<?x16xf32>) outs(%y : memref<2x16xf32>) attrs = {tw.lowering = "plain_attention", tw.tile = array<i64: 2, 1, 4, 1, 256>} {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %p = arith.mulf %a, %b : f32
    %t = arith.addf %out, %p : f32
    linalg.yield %t : f32
  }
  rt.scratch_pop %memory : memref<?xi8>
  rt.scratch_pop %place : memref<?xi8>
  return
}

// -----

// Eight blocks share the keys of a row: at run time it is known how many keys each has. What they found is put together in
// order, without atomic operations.
// CHECK-LABEL: func private @kernel_0
// CHECK:         arith.ceildivui
// CHECK:         %[[MEMORY:.*]] = rt.scratch_push
// CHECK:         rt.launch_kernel @kernel_0_0_parts[%{{.*}}, 128]
// CHECK:         rt.launch_kernel @kernel_0_0[%{{.*}}, 128]
// CHECK-NEXT:    rt.scratch_pop %[[MEMORY]]
// CHECK:       gpu.module @device
// CHECK:         func.func @kernel_0_0_parts
// CHECK:         func.func @kernel_0_0(
// CHECK:           scf.for
// CHECK:             arith.maximumf
// CHECK:           scf.for
// CHECK:             math.exp2
// CHECK-NOT:     atom
#scores = affine_map<(m, n, k) -> (m, n)>
#q = affine_map<(m, n, k) -> (m, k)>
#k = affine_map<(m, n, k) -> (n, k)>
#v = affine_map<(m, n, k) -> (k, n)>
#all = affine_map<(m, n) -> (m, n)>
#row = affine_map<(m, n) -> (m)>
func.func private @kernel_0(%q: memref<2x16xf32>, %k: memref<?x16xf32>, %v: memref<?x16xf32>, %y: memref<2x16xf32>) attributes {tw.kernel} {
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %c0 = arith.constant 0 : index
  %c8 = arith.constant 8 : index
  %n = memref.dim %k, %c0 : memref<?x16xf32>
  %bytes = arith.muli %n, %c8 : index
  %place = rt.scratch_push %bytes : memref<?xi8>
  %s = memref.view %place[%c0][%n] : memref<?xi8> to memref<2x?xf32>
  %memory = rt.scratch_push %c8 : memref<?xi8>
  %r = memref.view %memory[%c0][] : memref<?xi8> to memref<2xf32>
  linalg.fill ins(%zero : f32) outs(%s : memref<2x?xf32>)
  linalg.generic {indexing_maps = [#q, #k, #scores], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%q, %k : memref<2x16xf32>, memref<?x16xf32>) outs(%s : memref<2x?xf32>) attrs = {tw.lowering = "plain_attention", tw.tile = array<i64: 2, 1, 4, 8, 256>} {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %p = arith.mulf %a, %b : f32
    %t = arith.addf %out, %p : f32
    linalg.yield %t : f32
  }
  linalg.fill ins(%low : f32) outs(%r : memref<2xf32>)
  linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]}
      ins(%s : memref<2x?xf32>) outs(%r : memref<2xf32>) attrs = {tw.lowering = "plain_attention", tw.tile = array<i64: 2, 1, 4, 8, 256>} {
  ^bb0(%a: f32, %out: f32):
    %t = arith.maximumf %out, %a : f32
    linalg.yield %t : f32
  }
  linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]}
      ins(%s, %r : memref<2x?xf32>, memref<2xf32>) outs(%s : memref<2x?xf32>) attrs = {tw.lowering = "plain_attention", tw.tile = array<i64: 2, 1, 4, 8, 256>} {
  ^bb0(%a: f32, %m: f32, %out: f32):
    %d = arith.subf %a, %m : f32
    %t = math.exp %d : f32
    linalg.yield %t : f32
  }
  linalg.fill ins(%zero : f32) outs(%r : memref<2xf32>)
  linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]}
      ins(%s : memref<2x?xf32>) outs(%r : memref<2xf32>) attrs = {tw.lowering = "plain_attention", tw.tile = array<i64: 2, 1, 4, 8, 256>} {
  ^bb0(%a: f32, %out: f32):
    %t = arith.addf %out, %a : f32
    linalg.yield %t : f32
  }
  linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]}
      ins(%s, %r : memref<2x?xf32>, memref<2xf32>) outs(%s : memref<2x?xf32>) attrs = {tw.lowering = "plain_attention", tw.tile = array<i64: 2, 1, 4, 8, 256>} {
  ^bb0(%a: f32, %m: f32, %out: f32):
    %t = arith.divf %a, %m : f32
    linalg.yield %t : f32
  }
  linalg.fill ins(%zero : f32) outs(%y : memref<2x16xf32>)
  linalg.generic {indexing_maps = [#q, #v, #scores], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%s, %v : memref<2x?xf32>, memref<?x16xf32>) outs(%y : memref<2x16xf32>) attrs = {tw.lowering = "plain_attention", tw.tile = array<i64: 2, 1, 4, 8, 256>} {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %p = arith.mulf %a, %b : f32
    %t = arith.addf %out, %p : f32
    linalg.yield %t : f32
  }
  rt.scratch_pop %memory : memref<?xi8>
  rt.scratch_pop %place : memref<?xi8>
  return
}

// -----

// Somebody else reads the scores: they are computed for themselves.
// CHECK-LABEL: func private @kernel_0
// CHECK-COUNT-3: rt.launch_kernel
#scores = affine_map<(m, n, k) -> (m, n)>
#q = affine_map<(m, n, k) -> (m, k)>
#k = affine_map<(m, n, k) -> (n, k)>
#v = affine_map<(m, n, k) -> (k, n)>
#all = affine_map<(m, n) -> (m, n)>
#row = affine_map<(m, n) -> (m)>
func.func private @kernel_0(%q: memref<2x16xf32>, %k: memref<?x16xf32>, %v: memref<?x16xf32>, %y: memref<2x16xf32>, %s: memref<2x?xf32>) attributes {tw.kernel} {
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %c0 = arith.constant 0 : index
  %c8 = arith.constant 8 : index
  %n = memref.dim %k, %c0 : memref<?x16xf32>
  %bytes = arith.muli %n, %c8 : index
  %memory = rt.scratch_push %c8 : memref<?xi8>
  %r = memref.view %memory[%c0][] : memref<?xi8> to memref<2xf32>
  linalg.fill ins(%zero : f32) outs(%s : memref<2x?xf32>)
  linalg.generic {indexing_maps = [#q, #k, #scores], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%q, %k : memref<2x16xf32>, memref<?x16xf32>) outs(%s : memref<2x?xf32>) attrs = {tw.lowering = "plain_attention", tw.tile = array<i64: 2, 1, 4, 1, 256>} {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %p = arith.mulf %a, %b : f32
    %t = arith.addf %out, %p : f32
    linalg.yield %t : f32
  }
  linalg.fill ins(%low : f32) outs(%r : memref<2xf32>)
  linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]}
      ins(%s : memref<2x?xf32>) outs(%r : memref<2xf32>) attrs = {tw.lowering = "plain_attention", tw.tile = array<i64: 2, 1, 4, 1, 256>} {
  ^bb0(%a: f32, %out: f32):
    %t = arith.maximumf %out, %a : f32
    linalg.yield %t : f32
  }
  linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]}
      ins(%s, %r : memref<2x?xf32>, memref<2xf32>) outs(%s : memref<2x?xf32>) attrs = {tw.lowering = "plain_attention", tw.tile = array<i64: 2, 1, 4, 1, 256>} {
  ^bb0(%a: f32, %m: f32, %out: f32):
    %d = arith.subf %a, %m : f32
    %t = math.exp %d : f32
    linalg.yield %t : f32
  }
  linalg.fill ins(%zero : f32) outs(%r : memref<2xf32>)
  linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]}
      ins(%s : memref<2x?xf32>) outs(%r : memref<2xf32>) attrs = {tw.lowering = "plain_attention", tw.tile = array<i64: 2, 1, 4, 1, 256>} {
  ^bb0(%a: f32, %out: f32):
    %t = arith.addf %out, %a : f32
    linalg.yield %t : f32
  }
  linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]}
      ins(%s, %r : memref<2x?xf32>, memref<2xf32>) outs(%s : memref<2x?xf32>) attrs = {tw.lowering = "plain_attention", tw.tile = array<i64: 2, 1, 4, 1, 256>} {
  ^bb0(%a: f32, %m: f32, %out: f32):
    %t = arith.divf %a, %m : f32
    linalg.yield %t : f32
  }
  linalg.fill ins(%zero : f32) outs(%y : memref<2x16xf32>)
  linalg.generic {indexing_maps = [#q, #v, #scores], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%s, %v : memref<2x?xf32>, memref<?x16xf32>) outs(%y : memref<2x16xf32>) attrs = {tw.lowering = "plain_attention", tw.tile = array<i64: 2, 1, 4, 1, 256>} {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %p = arith.mulf %a, %b : f32
    %t = arith.addf %out, %p : f32
    linalg.yield %t : f32
  }
  rt.scratch_pop %memory : memref<?xi8>
  return
}
