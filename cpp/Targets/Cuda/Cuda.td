//===- Cuda.td - From buffers to code of a GPU ------------------*- tablegen -*-===//
#ifndef TILEWRIGHT_TARGETS_CUDA_TD
#define TILEWRIGHT_TARGETS_CUDA_TD

include "mlir/Pass/PassBase.td"

def CudaAssignKernelsPass : Pass<"tw-cuda-assign-kernels", "::mlir::func::FuncOp"> {
  let summary = "Marks every computation with the kind of device kernel it becomes";
  let description = [{
    A computation of a GPU kernel stays one `linalg` operation until stage `target`, where it becomes the code of many
    threads. `tw.lowering` says which: what select wrote into `#tw.config`, or `points` (one thread per result) for what
    has no config or must keep its order. `tw.tile` has the numbers that go with it, the config's `tile`:

    - `rows`: threads per row; elements that each keeps in registers, or 0 where a row is read again.
    - `runs`: threads per row.
    - `dots`: threads that share a row of weights; sets of so many in a block; rows of weights that a thread has under way,
      and how many groups of them come one after the other; stored elements that it reads at once; units of the depth whose
      other factor it keeps in registers.
    - `tiles`, `mma`: rows, columns and depth of a block's tile; tiles in shared memory; rows and columns of a thread, or of a
      warp.
    - `wgmma`: rows, columns and depth of a block's tile; tiles in shared memory; whether a block goes from tile to tile;
      blocks that share what they read.
    - `warpgroup_attention`: keys of a step; tiles of so many keys, and of values, in shared memory.
    - `plain_attention`: rows of a warp (a power of two up to 16); warps of a block that differ by their rows, and by their
      keys; blocks that share the keys of a row, and how many keys each of them has at least.

    ```mlir
    linalg.generic {tw.config = #tw.config<..., tile = [32, 16], ..., lowering = "rows">} ...
    // becomes
    linalg.generic {tw.lowering = "rows", tw.tile = array<i64: 32, 16>, ...} ...
    ```
  }];
}

def CudaLaunchesPass : Pass<"tw-cuda-launches", "::mlir::ModuleOp"> {
  let summary = "Turns computations on buffers into device kernels and launches";
  let description = [{
    Each `linalg` operation and each copy, with the fill that it starts from and the elementwise operation that alone reads
    a product's result, becomes one function in the module `@device` and one `rt.launch_kernel` in its place. Neighbours
    with the lowering `rows` that share their rows become one together: reductions along the rows, and what is computed of
    elements and of rows between them. What host code stores becomes a launch of one thread, what it loads an `rt.read`.

    A kernel that wants more than arguments says so: `tw.shared` is the dynamic shared memory of a block in bytes,
    `tw.persistent` means that no more blocks are wanted than run at once (a multiple of its value), and the argument
    attribute `tw.tensor_map` makes a parameter of an array that copies by the TMA go through.

    ```mlir
    linalg.generic {tw.lowering = "points"} ins(%x) outs(%y) { body }
    // becomes
    rt.launch_kernel @kernel_0_0[%blocks, 256](%x, %n, %y : memref<?xf32>, index, memref<?xf32>)
    // with, in gpu.module @device
    func.func @kernel_0_0(%x: !llvm.ptr<1>, %n: index, %y: !llvm.ptr<1>) { one element per thread }
    ```
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect", "::mlir::NVVM::NVVMDialect",
                           "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect", "::tilewright::rt::TwRtDialect"];
}

def CudaSmallIntegersPass : Pass<"tw-cuda-small-integers", "::mlir::func::FuncOp"> {
  let summary = "Makes floats of a few bits of a word without conversions";
  let description = [{
    An integer that is a few bits of a word, maybe with a constant added, becomes a float by putting its bits into the
    significand of 2^23 and subtracting what that adds. Bits that lie higher count more there: the subtraction becomes a fused
    multiply-add, which scales them. The result is the same, exactly.

    ```mlir
    %q = arith.andi (arith.shrui %word, 4), 15
    %x = arith.sitofp (arith.subi %q, 8) : i32 to f32
    // becomes
    %bits = lop3 (%word & 240) ^ 0x4B000000
    %x = llvm.intr.fma (arith.bitcast %bits : i32 to f32), 0.0625, -524296.0
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::LLVM::LLVMDialect"];
}

def CudaToNvvmPass : Pass<"tw-cuda-to-nvvm", "::mlir::ModuleOp"> {
  let summary = "Lowers device code to the llvm and nvvm dialects";
  let description = [{
    Converts everything in the module `@device`; elementary functions become calls of libdevice. Functions become kernels. On
    sm_90 and newer they wait for the kernel before them in their own code (`griddepcontrol.wait`), before they touch memory, and
    say so by `tw.overlap`: their launches need not.

    ```mlir
    func.func @kernel_0_0(%x: !llvm.ptr<1>, %n: index) attributes {tw.threads = 256 : i64}
    // becomes
    llvm.func @kernel_0_0(%x: !llvm.ptr<1>, %n: i64) attributes {nvvm.kernel, nvvm.reqntid = array<i32: 256, 1, 1>}
    ```
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect"];
}

def CudaLowerLaunchesPass : Pass<"tw-cuda-lower-launches", "::mlir::ModuleOp"> {
  let summary = "Turns launches and reads into calls of the runtime's table";
  let description = [{
    The addresses of all arguments of a launch go into an array, whose address the table's function `launch` takes together
    with the kernel's number: its place in the list of names that the module carries from here on (`tw.device_kernels`). What
    launches of a kernel want beyond arguments stands in `tw.device_extras`, by name; in the place of a tensor map goes the
    address of what it is made of.

    ```mlir
    rt.launch_kernel @kernel_0_0[%blocks, 256](%x, %n : memref<?xf32>, index)
    // becomes
    llvm.call %launch(%table, 0, %blocks, 256, %arguments)
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect"];
}

#endif // TILEWRIGHT_TARGETS_CUDA_TD
