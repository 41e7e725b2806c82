// RUN: tw-opt %s --tw-cuda-launches --canonicalize --split-input-file | FileCheck %s

// Rows of whole 16 bytes: a thread takes four neighbours, with one load and one store.
// CHECK-LABEL: func private @kernel_0
// CHECK:         rt.launch_kernel @kernel_0_0[%{{.*}}, 256] (%{{.*}} : index, memref<?x64xf32>, memref<?x64xf32>)
// CHECK:       gpu.module @device
// CHECK:         func.func @kernel_0_0(%{{.*}}: index, %{{.*}}: !llvm.ptr<1>, %{{.*}}: !llvm.ptr<1>)
// CHECK-SAME:      tw.threads = 256
// CHECK:           llvm.load {{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xf32>
// CHECK-COUNT-4:   arith.addf
// CHECK:           llvm.store {{.*}} : vector<4xf32>, !llvm.ptr<1>
#id = affine_map<(d0, d1) -> (d0, d1)>
func.func private @kernel_0(%x: memref<?x64xf32>, %y: memref<?x64xf32>) attributes {tw.kernel} {
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : memref<?x64xf32>) outs(%y : memref<?x64xf32>) attrs = {tw.lowering = "points"} {
  ^bb0(%in: f32, %out: f32):
    %s = arith.addf %in, %in : f32
    linalg.yield %s : f32
  }
  return
}

// -----

// The fill that a sum starts from is a constant of the kernel; lanes meet by shuffles, and each reads two neighbours.
// CHECK-LABEL: func private @kernel_0
// CHECK-COUNT-1: rt.launch_kernel @kernel_0_0[%{{.*}}, 256]
// CHECK-NOT:     rt.launch_kernel
// CHECK:       gpu.module @device
// CHECK:         llvm.load {{.*}} -> vector<2xf32>
// CHECK-COUNT-5: nvvm.shfl.sync bfly
// CHECK-NOT:     nvvm.barrier0
#row = affine_map<(d0, d1) -> (d0, d1)>
#first = affine_map<(d0, d1) -> (d0)>
func.func private @kernel_0(%x: memref<8x64xf32>, %y: memref<8xf32>) attributes {tw.kernel} {
  %zero = arith.constant 0.0 : f32
  linalg.fill ins(%zero : f32) outs(%y : memref<8xf32>)
  linalg.generic {indexing_maps = [#row, #first], iterator_types = ["parallel", "reduction"]}
      ins(%x : memref<8x64xf32>) outs(%y : memref<8xf32>) attrs = {tw.lowering = "rows", tw.tile = array<i64: 32, 32>} {
  ^bb0(%in: f32, %out: f32):
    %s = arith.addf %out, %in : f32
    linalg.yield %s : f32
  }
  return
}

// -----

// Computations that share their rows are one kernel: the row is read once, what lies between them needs no memory.
// CHECK-LABEL: func private @kernel_0
// CHECK-NOT:     rt.scratch_push
// CHECK-COUNT-1: rt.launch_kernel @kernel_0_0[%{{.*}}, 128]
// CHECK-NOT:     rt.launch_kernel
// CHECK:       gpu.module @device
// CHECK-COUNT-1: llvm.load {{.*}}!llvm.ptr<1> -> vector<4xf32>
// CHECK-NOT:     !llvm.ptr<1> -> vector<4xf32>
// CHECK:         nvvm.barrier0
// CHECK:         arith.subf
// CHECK:         llvm.store {{.*}} : vector<4xf32>, !llvm.ptr<1>
#row = affine_map<(d0, d1) -> (d0, d1)>
#first = affine_map<(d0, d1) -> (d0)>
func.func private @kernel_0(%x: memref<8x512xf32>, %y: memref<8x512xf32>) attributes {tw.kernel} {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %bytes = arith.constant 32 : index
  %memory = rt.scratch_push %bytes : memref<?xi8>
  %sums = memref.view %memory[%c0][] : memref<?xi8> to memref<8xf32>
  linalg.fill ins(%zero : f32) outs(%sums : memref<8xf32>)
  linalg.generic {indexing_maps = [#row, #first], iterator_types = ["parallel", "reduction"]}
      ins(%x : memref<8x512xf32>) outs(%sums : memref<8xf32>) attrs = {tw.lowering = "rows", tw.tile = array<i64: 128, 32>} {
  ^bb0(%in: f32, %out: f32):
    %s = arith.addf %out, %in : f32
    linalg.yield %s : f32
  }
  linalg.generic {indexing_maps = [#row, #first, #row], iterator_types = ["parallel", "parallel"]}
      ins(%x, %sums : memref<8x512xf32>, memref<8xf32>) outs(%y : memref<8x512xf32>) attrs = {tw.lowering = "rows", tw.tile = array<i64: 128, 32>} {
  ^bb0(%in: f32, %sum: f32, %out: f32):
    %s = arith.subf %in, %sum : f32
    linalg.yield %s : f32
  }
  rt.scratch_pop %memory : memref<?xi8>
  return
}

// -----

// The second reads the first's rows as columns: no thread has what it needs, so that they stay two kernels.
// CHECK-LABEL: func private @kernel_0
// CHECK-COUNT-2: rt.launch_kernel
#row = affine_map<(d0, d1) -> (d0, d1)>
#first = affine_map<(d0, d1) -> (d0)>
#second = affine_map<(d0, d1) -> (d1)>
func.func private @kernel_0(%x: memref<8x8xf32>, %s: memref<8xf32>, %y: memref<8x8xf32>) attributes {tw.kernel} {
  %zero = arith.constant 0.0 : f32
  linalg.fill ins(%zero : f32) outs(%s : memref<8xf32>)
  linalg.generic {indexing_maps = [#row, #first], iterator_types = ["parallel", "reduction"]}
      ins(%x : memref<8x8xf32>) outs(%s : memref<8xf32>) attrs = {tw.lowering = "rows", tw.tile = array<i64: 32, 32>} {
  ^bb0(%in: f32, %out: f32):
    %sum = arith.addf %out, %in : f32
    linalg.yield %sum : f32
  }
  linalg.generic {indexing_maps = [#row, #second, #row], iterator_types = ["parallel", "parallel"]}
      ins(%x, %s : memref<8x8xf32>, memref<8xf32>) outs(%y : memref<8x8xf32>) attrs = {tw.lowering = "rows", tw.tile = array<i64: 32, 32>} {
  ^bb0(%in: f32, %sum: f32, %out: f32):
    %d = arith.subf %in, %sum : f32
    linalg.yield %d : f32
  }
  return
}

// -----

// Running totals: a warp per row, each lane with four neighbours; the next ones are read before totals go from lane to lane.
// CHECK-LABEL: func.func @running_0
// CHECK:         scf.for
// CHECK:           llvm.load {{.*}} -> vector<4xf32>
// CHECK-COUNT-6:   nvvm.shfl.sync up
// CHECK:           nvvm.shfl.sync idx
// CHECK:           llvm.store {{.*}} : vector<4xf32>, !llvm.ptr<1>
// CHECK-NOT:     nvvm.barrier0
// A thread per row for products of floats, since those of neighbours may overflow, and where rows of the input are elsewhere
// in the result: another thread may have written there.
// CHECK-LABEL: func.func @product_1
// CHECK-NOT:     nvvm.shfl
// CHECK-LABEL: func.func @over_its_input_2
// CHECK-NOT:     nvvm.shfl
#row = affine_map<(d0, d1) -> (d0, d1)>
#first = affine_map<(d0, d1) -> (d0)>
#backwards = affine_map<(d0, d1) -> (-d0 + 3, d1)>
func.func private @running(%x: memref<4x256xf32>, %y: memref<4x256xf32>, %t: memref<4xf32>) attributes {tw.kernel} {
  %zero = arith.constant 0.0 : f32
  linalg.fill ins(%zero : f32) outs(%t : memref<4xf32>)
  linalg.generic {indexing_maps = [#row, #row, #first], iterator_types = ["parallel", "reduction"]}
      ins(%x : memref<4x256xf32>) outs(%y, %t : memref<4x256xf32>, memref<4xf32>) attrs = {tw.lowering = "runs", tw.tile = array<i64: 32>} {
  ^bb0(%in: f32, %out: f32, %total: f32):
    %s = arith.addf %total, %in : f32
    linalg.yield %s, %s : f32, f32
  }
  return
}

func.func private @product(%x: memref<4x256xf32>, %y: memref<4x256xf32>, %t: memref<4xf32>) attributes {tw.kernel} {
  %zero = arith.constant 0.0 : f32
  linalg.fill ins(%zero : f32) outs(%t : memref<4xf32>)
  linalg.generic {indexing_maps = [#row, #row, #first], iterator_types = ["parallel", "reduction"]}
      ins(%x : memref<4x256xf32>) outs(%y, %t : memref<4x256xf32>, memref<4xf32>) attrs = {tw.lowering = "runs", tw.tile = array<i64: 32>} {
  ^bb0(%in: f32, %out: f32, %total: f32):
    %s = arith.mulf %total, %in : f32
    linalg.yield %s, %s : f32, f32
  }
  return
}

func.func private @over_its_input(%y: memref<4x256xf32>, %t: memref<4xf32>) attributes {tw.kernel} {
  %zero = arith.constant 0.0 : f32
  linalg.fill ins(%zero : f32) outs(%t : memref<4xf32>)
  linalg.generic {indexing_maps = [#backwards, #row, #first], iterator_types = ["parallel", "reduction"]}
      ins(%y : memref<4x256xf32>) outs(%y, %t : memref<4x256xf32>, memref<4xf32>) attrs = {tw.lowering = "runs", tw.tile = array<i64: 32>} {
  ^bb0(%in: f32, %out: f32, %total: f32):
    %s = arith.addf %total, %in : f32
    linalg.yield %s, %s : f32, f32
  }
  return
}

// -----

// What alone reads a product is computed on its sums: one kernel, and the memory between them is gone. Tiles are copied
// ahead of the one that is multiplied.
// CHECK-LABEL: func private @kernel_0
// CHECK-NOT:     rt.scratch_push
// CHECK-COUNT-1: rt.launch_kernel @kernel_0_0[%{{.*}}, 128]
// CHECK-NOT:     rt.launch_kernel
// CHECK:       gpu.module @device
// CHECK-COUNT-4: nvvm.cp.async.shared.global
// CHECK:         nvvm.cp.async.wait.group 2
// CHECK-NEXT:    nvvm.barrier0
// CHECK:         nvvm.ldmatrix {{.*}}layout = #nvvm.mma_layout<row>
// CHECK:         nvvm.ldmatrix {{.*}}layout = #nvvm.mma_layout<col>
// CHECK:         nvvm.mma.sync
// CHECK:         arith.negf
// CHECK:         llvm.store {{.*}} : vector<8xf32>, !llvm.ptr<1>
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(d0, d1) -> (d0, d1)>
func.func private @kernel_0(%a: memref<64x32xf16>, %b: memref<32x64xf16>, %y: memref<64x64xf32>) attributes {tw.kernel} {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %bytes = arith.constant 16384 : index
  %memory = rt.scratch_push %bytes : memref<?xi8>
  %sums = memref.view %memory[%c0][] : memref<?xi8> to memref<64x64xf32>
  linalg.fill ins(%zero : f32) outs(%sums : memref<64x64xf32>)
  linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %b : memref<64x32xf16>, memref<32x64xf16>) outs(%sums : memref<64x64xf32>) attrs = {tw.lowering = "mma", tw.tile = array<i64: 64, 64, 32, 4, 32, 32>} {
  ^bb0(%l: f16, %r: f16, %out: f32):
    %lw = arith.extf %l : f16 to f32
    %rw = arith.extf %r : f16 to f32
    %p = arith.mulf %lw, %rw : f32
    %s = arith.addf %out, %p : f32
    linalg.yield %s : f32
  }
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%sums : memref<64x64xf32>) outs(%y : memref<64x64xf32>) attrs = {tw.lowering = "points"} {
  ^bb0(%in: f32, %out: f32):
    %s = arith.negf %in : f32
    linalg.yield %s : f32
  }
  rt.scratch_pop %memory : memref<?xi8>
  return
}

// -----

// What alone reads a product, but writes where the product reads: other blocks have not read it yet. Two kernels.
// CHECK-LABEL: func private @in_place
// CHECK:         rt.scratch_push
// CHECK-COUNT-2: rt.launch_kernel
// CHECK-LABEL: func private @refilled
// CHECK:         rt.scratch_push
// CHECK-COUNT-3: rt.launch_kernel
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(d0, d1) -> (d0, d1)>
func.func private @in_place(%a: memref<64x64xf32>, %b: memref<64x64xf32>) attributes {tw.kernel} {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %bytes = arith.constant 16384 : index
  %memory = rt.scratch_push %bytes : memref<?xi8>
  %sums = memref.view %memory[%c0][] : memref<?xi8> to memref<64x64xf32>
  linalg.fill ins(%zero : f32) outs(%sums : memref<64x64xf32>)
  linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %b : memref<64x64xf32>, memref<64x64xf32>) outs(%sums : memref<64x64xf32>) attrs = {tw.lowering = "tiles"} {
  ^bb0(%l: f32, %r: f32, %out: f32):
    %p = arith.mulf %l, %r : f32
    %s = arith.addf %out, %p : f32
    linalg.yield %s : f32
  }
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%sums : memref<64x64xf32>) outs(%a : memref<64x64xf32>) attrs = {tw.lowering = "points"} {
  ^bb0(%in: f32, %out: f32):
    %s = arith.addf %in, %out : f32
    linalg.yield %s : f32
  }
  rt.scratch_pop %memory : memref<?xi8>
  return
}

func.func private @refilled(%a: memref<64x64xf32>, %b: memref<64x64xf32>, %y: memref<64x64xf32>) attributes {tw.kernel} {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %bytes = arith.constant 16384 : index
  %memory = rt.scratch_push %bytes : memref<?xi8>
  %sums = memref.view %memory[%c0][] : memref<?xi8> to memref<64x64xf32>
  linalg.fill ins(%zero : f32) outs(%sums : memref<64x64xf32>)
  linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %b : memref<64x64xf32>, memref<64x64xf32>) outs(%sums : memref<64x64xf32>) attrs = {tw.lowering = "tiles"} {
  ^bb0(%l: f32, %r: f32, %out: f32):
    %p = arith.mulf %l, %r : f32
    %s = arith.addf %out, %p : f32
    linalg.yield %s : f32
  }
  linalg.fill ins(%zero : f32) outs(%b : memref<64x64xf32>)
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%sums : memref<64x64xf32>) outs(%y : memref<64x64xf32>) attrs = {tw.lowering = "points"} {
  ^bb0(%in: f32, %out: f32):
    %s = arith.negf %in : f32
    linalg.yield %s : f32
  }
  rt.scratch_pop %memory : memref<?xi8>
  return
}

// -----

// Blocks in pairs that go from tile to tile: the right factor arrives in both at once, results leave by the copying unit
// from memory of their own, and no block begins or ends without the other.
// CHECK-LABEL: func private @kernel_0
// CHECK:         rt.launch_kernel @kernel_0_0[%{{.*}}, 384]
// CHECK:       gpu.module @device
// CHECK:       func.func @kernel_0_0
// CHECK-SAME:    tw.tensor_map = {box = array<i64: 64, 128>, swizzle = 128 : i64, type = f16}
// CHECK-SAME:    tw.tensor_map = {box = array<i64: 64, 64>, swizzle = 128 : i64, type = f16}
// CHECK-SAME:    tw.tensor_map = {box = array<i64: 32, 64>, swizzle = 128 : i64, type = f32}
// CHECK-SAME:    tw.cluster = 2 : i64
// CHECK-SAME:    tw.persistent = 2 : i64
// CHECK-SAME:    tw.shared = 229472 : i64
// CHECK:         barrier.cluster.arrive.release
// CHECK:         nvvm.read.ptx.sreg.nctaid.x
// CHECK:         scf.for
// CHECK:           scf.for
// CHECK:             wgmma.mma_async.sync.aligned.m64n128k16
// CHECK:             mbarrier.arrive.shared::cluster
// CHECK:           cp.async.bulk.wait_group.read 1
// CHECK:           arith.negf
// CHECK:           fence.proxy.async
// CHECK:           cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group
// CHECK:         scf.for
// CHECK:           scf.for
// CHECK:             cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [
// CHECK:             cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster
// CHECK-NOT:         cp.async.bulk.tensor
// CHECK:         barrier.cluster.arrive.release
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(d0, d1) -> (d0, d1)>
func.func private @kernel_0(%a: memref<512x128xf16>, %b: memref<128x256xf16>, %y: memref<512x256xf32>) attributes {tw.kernel} {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %bytes = arith.constant 524288 : index
  %memory = rt.scratch_push %bytes : memref<?xi8>
  %sums = memref.view %memory[%c0][] : memref<?xi8> to memref<512x256xf32>
  linalg.fill ins(%zero : f32) outs(%sums : memref<512x256xf32>)
  linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %b : memref<512x128xf16>, memref<128x256xf16>) outs(%sums : memref<512x256xf32>) attrs = {tw.lowering = "wgmma", tw.tile = array<i64: 128, 128, 64, 6, 1, 2>} {
  ^bb0(%l: f16, %r: f16, %out: f32):
    %lw = arith.extf %l : f16 to f32
    %rw = arith.extf %r : f16 to f32
    %p = arith.mulf %lw, %rw : f32
    %s = arith.addf %out, %p : f32
    linalg.yield %s : f32
  }
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%sums : memref<512x256xf32>) outs(%y : memref<512x256xf32>) attrs = {tw.lowering = "points"} {
  ^bb0(%in: f32, %out: f32):
    %s = arith.negf %in : f32
    linalg.yield %s : f32
  }
  rt.scratch_pop %memory : memref<?xi8>
  return
}

// -----

// Host code touches no element itself: a store is a launch of one thread, a load waits for the device.
// CHECK-LABEL: func @main
// CHECK:         rt.launch_kernel @main_0[%{{.*}}, 1] (%{{.*}}
// CHECK:         rt.read %{{.*}} : memref<i64
// CHECK-NOT:     memref.load
func.func @main(%x: memref<4xi64>, %i: index, %v: i64) -> i64 attributes {tw.host} {
  memref.store %v, %x[%i] : memref<4xi64>
  %r = memref.load %x[%i] : memref<4xi64>
  return %r : i64
}

// -----

// One row against weights of four bits: each thread keeps its part of the row, reads 16 bytes of each of two rows of weights at
// once, and multiplies what a group sums up to by its scale. Rows that no block has whole are read as the last one.
// CHECK-LABEL: func private @kernel_0
// CHECK-COUNT-1: rt.launch_kernel @kernel_0_0[%{{.*}}, 32]
// CHECK-NOT:     rt.launch_kernel
// CHECK:       gpu.module @device
// CHECK-COUNT-2: llvm.load {{.*}} : !llvm.ptr<1> -> vector<4xi32>
// CHECK:         llvm.store {{.*}} : vector<4xf32>, !llvm.ptr<3>
// CHECK:         nvvm.barrier0
// CHECK-COUNT-8: llvm.load {{.*}} : !llvm.ptr<3> -> vector<4xf32>
// CHECK-NOT:     !llvm.ptr<3> -> vector<4xf32>
// CHECK-COUNT-5: nvvm.shfl.sync bfly
// CHECK-NOT:     nvvm.shfl.sync
#few = affine_map<(d0, d1, d2, d3, d4) -> (d0, d2, d3, d4)>
#storage = affine_map<(d0, d1, d2, d3, d4) -> (d1, d2, d4)>
#scales = affine_map<(d0, d1, d2, d3, d4) -> (d1, d2)>
#results = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1)>
func.func private @kernel_0(%x: memref<1x32x2x16xf32>, %w: memref<63x32x16xi8>, %s: memref<63x32xf16>, %y: memref<1x63xf32>) attributes {tw.kernel} {
  %four = arith.constant 4 : i32
  %fifteen = arith.constant 15 : i32
  %zero = arith.constant 0.0 : f32
  linalg.fill ins(%zero : f32) outs(%y : memref<1x63xf32>)
  linalg.generic {indexing_maps = [#few, #storage, #scales, #results], iterator_types = ["parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w, %s : memref<1x32x2x16xf32>, memref<63x32x16xi8>, memref<63x32xf16>) outs(%y : memref<1x63xf32>)
      attrs = {tw.lowering = "dots", tw.tile = array<i64: 32, 1, 2, 1, 16, 1>} {
  ^bb0(%in: f32, %byte: i8, %scale: f16, %out: f32):
    %half = linalg.index 3 : index
    %wide = arith.extui %byte : i8 to i32
    %number = arith.index_cast %half : index to i32
    %by = arith.muli %number, %four : i32
    %shifted = arith.shrui %wide, %by : i32
    %kept = arith.andi %shifted, %fifteen : i32
    %float = arith.sitofp %kept : i32 to f32
    %d = arith.extf %scale : f16 to f32
    %weight = arith.mulf %d, %float : f32
    %product = arith.mulf %in, %weight : f32
    %sum = arith.addf %out, %product : f32
    linalg.yield %sum : f32
  }
  return
}

// -----

// Weights that lie along the results, whatever select said, are no rows to go along: every result has its threads.
// CHECK-LABEL: func private @kernel_0
// CHECK-COUNT-1: rt.launch_kernel
// CHECK:       gpu.module @device
// CHECK-NOT:     vector<4xf32>, !llvm.ptr<3>
#left = affine_map<(d0, d1, d2) -> (d0, d2)>
#right = affine_map<(d0, d1, d2) -> (d2, d1)>
#both = affine_map<(d0, d1, d2) -> (d0, d1)>
func.func private @kernel_0(%x: memref<1x128xf32>, %w: memref<128x64xf32>, %y: memref<1x64xf32>) attributes {tw.kernel} {
  linalg.generic {indexing_maps = [#left, #right, #both], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : memref<1x128xf32>, memref<128x64xf32>) outs(%y : memref<1x64xf32>)
      attrs = {tw.lowering = "dots", tw.tile = array<i64: 32, 8, 4, 1, 4, 1>} {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %product = arith.mulf %a, %b : f32
    %sum = arith.addf %out, %product : f32
    linalg.yield %sum : f32
  }
  return
}

// -----

// Bytes go to tensor cores in pairs, a copy of 16 at a time; the right factor, whose neighbours are columns, is turned on the
// way to shared memory, element by element.
// CHECK-LABEL: func private @kernel_0
// CHECK-COUNT-1: rt.launch_kernel @kernel_0_0[%{{.*}}, 128]
// CHECK:       gpu.module @device
// CHECK:         nvvm.cp.async.shared.global {{.*}}, 16, cache =  cg
// CHECK:         llvm.store {{.*}} : vector<16xi8>, !llvm.ptr<3>
// CHECK:         nvvm.ldmatrix {{.*}} layout = #nvvm.mma_layout<row>
// CHECK:         nvvm.mma.sync {{.*}}intOverflowBehavior = #nvvm.mma_int_overflow<wrapped>
#left = affine_map<(d0, d1, d2) -> (d0, d2)>
#right = affine_map<(d0, d1, d2) -> (d2, d1)>
#both = affine_map<(d0, d1, d2) -> (d0, d1)>
func.func private @kernel_0(%x: memref<64x128xi8>, %w: memref<128x64xi8>, %y: memref<64x64xi32>) attributes {tw.kernel} {
  linalg.generic {indexing_maps = [#left, #right, #both], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : memref<64x128xi8>, memref<128x64xi8>) outs(%y : memref<64x64xi32>)
      attrs = {tw.lowering = "mma", tw.tile = array<i64: 64, 64, 64, 4, 32, 32>} {
  ^bb0(%a: i8, %b: i8, %out: i32):
    %left = arith.extsi %a : i8 to i32
    %right = arith.extsi %b : i8 to i32
    %product = arith.muli %left, %right : i32
    %sum = arith.addi %out, %product : i32
    linalg.yield %sum : i32
  }
  return
}

// -----

// The same where factors may be rounded to TF32: one factor comes by `ldmatrix`, the other one, whose words lie along its
// columns, word by word; all are rounded to nearest in registers. Nothing else of the formula is read than its mark.
// CHECK-LABEL: func private @kernel_0
// CHECK-COUNT-1: rt.launch_kernel @kernel_0_0[%{{.*}}, 128]
// CHECK:       gpu.module @device
// CHECK-COUNT-4: nvvm.cp.async.shared.global {{.*}}, 16, cache =  cg
// CHECK:         nvvm.ldmatrix {{.*}} layout = #nvvm.mma_layout<row>
// CHECK:         nvvm.convert.float.to.tf32 %{{.*}} {rnd = #nvvm.fp_rnd_mode<rna>}
// CHECK-NOT:     nvvm.ldmatrix {{.*}} layout = #nvvm.mma_layout<col>
// CHECK:         llvm.load {{.*}} : !llvm.ptr<3> -> i32
// CHECK:         nvvm.mma.sync {{.*}}multiplicandAPtxType = #nvvm.mma_type<tf32>{{.*}}shape = #nvvm.shape<m = 16, n = 8, k = 8>
#left = affine_map<(d0, d1, d2) -> (d0, d2)>
#right = affine_map<(d0, d1, d2) -> (d2, d1)>
#both = affine_map<(d0, d1, d2) -> (d0, d1)>
func.func private @kernel_0(%x: memref<64x128xf32>, %w: memref<128x64xf32>, %y: memref<64x64xf32>) attributes {tw.kernel} {
  linalg.generic {indexing_maps = [#left, #right, #both], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : memref<64x128xf32>, memref<128x64xf32>) outs(%y : memref<64x64xf32>)
      attrs = {tw.lowering = "mma", tw.tile = array<i64: 64, 64, 16, 4, 32, 32>} {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %product = arith.mulf %a, %b {tw.precision = "tf32"} : f32
    %sum = arith.addf %out, %product : f32
    linalg.yield %sum : f32
  }
  return
}

// -----

// Without the mark there are no tensor cores for f32, whatever was chosen.
// CHECK-LABEL: func private @kernel_0
// CHECK-NOT:     nvvm.mma.sync
// CHECK:         rt.launch_kernel @kernel_0_0[%{{.*}}, 256]
#left = affine_map<(d0, d1, d2) -> (d0, d2)>
#right = affine_map<(d0, d1, d2) -> (d2, d1)>
#both = affine_map<(d0, d1, d2) -> (d0, d1)>
func.func private @kernel_0(%x: memref<64x128xf32>, %w: memref<128x64xf32>, %y: memref<64x64xf32>) attributes {tw.kernel} {
  linalg.generic {indexing_maps = [#left, #right, #both], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : memref<64x128xf32>, memref<128x64xf32>) outs(%y : memref<64x64xf32>)
      attrs = {tw.lowering = "mma", tw.tile = array<i64: 64, 64, 16, 4, 32, 32>} {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %product = arith.mulf %a, %b : f32
    %sum = arith.addf %out, %product : f32
    linalg.yield %sum : f32
  }
  return
}

// -----

// In float32, the left factor is copied element by element, the right one by four; four columns are read, and written, at once.
// CHECK-LABEL: func private @kernel_0
// CHECK-COUNT-1: rt.launch_kernel @kernel_0_0[%{{.*}}, 256]
// CHECK:       gpu.module @device
// CHECK:         nvvm.cp.async.shared.global {{.*}}, 4, cache =  ca
// CHECK:         nvvm.cp.async.shared.global {{.*}}, 16, cache =  cg
// CHECK:         nvvm.cp.async.wait.group 2
// CHECK:         nvvm.barrier0
// CHECK:         llvm.load {{.*}} : !llvm.ptr<3> -> vector<4xf32>
// CHECK:         llvm.store {{.*}} : vector<4xf32>, !llvm.ptr<1>
#left = affine_map<(d0, d1, d2) -> (d0, d2)>
#right = affine_map<(d0, d1, d2) -> (d2, d1)>
#both = affine_map<(d0, d1, d2) -> (d0, d1)>
func.func private @kernel_0(%x: memref<64x128xf32>, %w: memref<128x64xf32>, %y: memref<64x64xf32>) attributes {tw.kernel} {
  linalg.generic {indexing_maps = [#left, #right, #both], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %w : memref<64x128xf32>, memref<128x64xf32>) outs(%y : memref<64x64xf32>)
      attrs = {tw.lowering = "tiles", tw.tile = array<i64: 64, 64, 16, 4, 4, 4>} {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %product = arith.mulf %a, %b : f32
    %sum = arith.addf %out, %product : f32
    linalg.yield %sum : f32
  }
  return
}

// -----

// The place of the largest element: threads keep the best of theirs, lanes exchange values and places, and one row is one launch.
// CHECK-LABEL: func private @kernel_0
// CHECK-COUNT-1: rt.launch_kernel @kernel_0_0[%{{.*}}, 256]
// CHECK-NOT:     rt.launch_kernel
// CHECK:       gpu.module @device
// CHECK:         llvm.load {{.*}} : !llvm.ptr<1> -> vector<2xf32>
// CHECK:         nvvm.shfl.sync bfly
// CHECK:         arith.cmpf ogt
// CHECK-NOT:     nvvm.barrier0
// CHECK:         llvm.store {{.*}} : i64, !llvm.ptr<1>
#row = affine_map<(d0, d1) -> (d0, d1)>
#first = affine_map<(d0, d1) -> (d0)>
func.func private @kernel_0(%x: memref<8x64xf32>, %place: memref<8xi64>, %best: memref<8xf32>) attributes {tw.kernel} {
  %none = arith.constant 9223372036854775807 : i64
  %least = arith.constant 0xFF800000 : f32
  linalg.fill ins(%none : i64) outs(%place : memref<8xi64>)
  linalg.fill ins(%least : f32) outs(%best : memref<8xf32>)
  linalg.generic {indexing_maps = [#row, #first, #first], iterator_types = ["parallel", "reduction"]}
      ins(%x : memref<8x64xf32>) outs(%place, %best : memref<8xi64>, memref<8xf32>)
      attrs = {tw.lowering = "rows", tw.tile = array<i64: 32, 32>} {
  ^bb0(%in: f32, %out: i64, %most: f32):
    %index = linalg.index 1 : index
    %here = arith.index_cast %index : index to i64
    %larger = arith.cmpf ogt, %in, %most : f32
    %equal = arith.cmpf oeq, %in, %most : f32
    %before = arith.cmpi slt, %here, %out : i64
    %first = arith.andi %equal, %before : i1
    %better = arith.ori %larger, %first : i1
    %i = arith.select %better, %here, %out : i64
    %v = arith.select %better, %in, %most : f32
    linalg.yield %i, %v : i64, f32
  }
  return
}

// -----

// What is chosen depends on something else than the two: the order matters, and one thread keeps it.
// CHECK-LABEL: func private @kernel_0
// CHECK:       gpu.module @device
// CHECK-NOT:     nvvm.shfl.sync
#row = affine_map<(d0, d1) -> (d0, d1)>
#first = affine_map<(d0, d1) -> (d0)>
func.func private @kernel_0(%x: memref<8x64xf32>, %z: memref<8x64xf32>, %place: memref<8xf32>, %best: memref<8xf32>) attributes {tw.kernel} {
  linalg.generic {indexing_maps = [#row, #row, #first, #first], iterator_types = ["parallel", "reduction"]}
      ins(%x, %z : memref<8x64xf32>, memref<8x64xf32>) outs(%place, %best : memref<8xf32>, memref<8xf32>)
      attrs = {tw.lowering = "rows", tw.tile = array<i64: 32, 32>} {
  ^bb0(%in: f32, %other: f32, %out: f32, %most: f32):
    %sum = arith.addf %out, %most : f32
    %larger = arith.cmpf ogt, %other, %sum : f32
    %i = arith.select %larger, %in, %out : f32
    %v = arith.select %larger, %in, %most : f32
    linalg.yield %i, %v : f32, f32
  }
  return
}

// -----

// Bools lie in memory as bytes; whether any is set is found out by all threads of a row.
// CHECK-LABEL: func private @kernel_0
// CHECK:       gpu.module @device
// CHECK-COUNT-5: nvvm.shfl.sync bfly
#row = affine_map<(d0, d1) -> (d0, d1)>
#first = affine_map<(d0, d1) -> (d0)>
func.func private @kernel_0(%x: memref<8x64xi8>, %y: memref<8xi8>) attributes {tw.kernel} {
  %zero = arith.constant 0 : i8
  linalg.fill ins(%zero : i8) outs(%y : memref<8xi8>)
  linalg.generic {indexing_maps = [#row, #first], iterator_types = ["parallel", "reduction"]}
      ins(%x : memref<8x64xi8>) outs(%y : memref<8xi8>) attrs = {tw.lowering = "rows", tw.tile = array<i64: 32, 32>} {
  ^bb0(%in: i8, %out: i8):
    %a = arith.cmpi ne, %in, %zero : i8
    %b = arith.cmpi ne, %out, %zero : i8
    %c = arith.ori %b, %a : i1
    %d = arith.extui %c : i1 to i8
    linalg.yield %d : i8
  }
  return
}
