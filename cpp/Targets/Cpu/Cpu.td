//===- Cpu.td - From buffers to code of the host CPU ------------*- tablegen -*-===//
#ifndef TILEWRIGHT_TARGETS_CPU_TD
#define TILEWRIGHT_TARGETS_CPU_TD

include "mlir/Pass/PassBase.td"

def CpuThreadsPass : Pass<"tw-cpu-threads", "::mlir::ModuleOp"> {
  let summary = "Outlines parallel loops into bodies for the thread pool";
  let description = [{
    Each outermost `scf.forall` becomes a function over a range of its linear index and one `rt.launch`; inner ones, and
    those that run once, become serial loops. Every function but the shape functions gets the runtime table as its first
    argument (`tw.rt`). Stack memory moves to the entry of its function.

    ```mlir
    scf.forall (%i, %j) in (%m, %n) { body }
    // becomes
    rt.launch @kernel_0_body_0[%mn](captures...)      // with func.func private @kernel_0_body_0(%rt, captures..., %begin, %end)
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect", "::mlir::LLVM::LLVMDialect",
                           "::tilewright::rt::TwRtDialect"];
}

def CpuPrefetchPass : Pass<"tw-cpu-prefetch"> {
  let summary = "Asks for stored weights before they are needed";
  let description = [{
    In innermost loops that read 8-bit integers and widen them at once (quantised weights, which are streamed from memory
    at a few bytes a cycle), one `memref.prefetch` per cache line is added for what lies `distance` bytes ahead. Requests
    beyond the end of a buffer have no effect.
  }];
  let options = [Option<"distance", "distance", "int64_t", /*default=*/"4096", "Bytes to look ahead">];
  let statistics = [Statistic<"numRequests", "requests", "prefetches that were added">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect"];
}

def CpuOverlapRowsPass : Pass<"tw-cpu-overlap-rows", "::mlir::func::FuncOp"> {
  let summary = "Goes along one row for its sum while the row before it is computed";
  let description = [{
    In kernels marked `tw.overlap`, a loop over rows whose body goes along the row several times becomes one that goes along
    several rows once: along the first for what its second walk waits for (a maximum, say), along the one before it for what
    its third waits for, and so on. What one walk finds is carried to the next iteration; a buffer of a row becomes one of as
    many rows as are under way. The first and the last rows, and all rows where there are few, take their walks one by one.

    Order within a row stays: results are the same to the last bit. Nothing changes where a row may read what another one
    has written, where loops along the row have no bounds in common, or where a walk needs more than three others.
  }];
  let statistics = [Statistic<"numLoops", "loops", "loops over rows whose walks overlap">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect"];
}

def CpuStreamPass : Pass<"tw-cpu-stream", "::mlir::func::FuncOp"> {
  let summary = "Writes large results past the cache";
  let description = [{
    In functions marked `tw.stream`, loops that fill whole cache lines (or their halves) of an argument that they only write
    get a second form: with non-temporal stores and a fence after them, taken where the argument begins at a cache line.
    Where nothing proves that all offsets are multiples of a vector, and on machines without such stores, nothing changes.
  }];
  let statistics = [Statistic<"numStores", "stores", "stores that became non-temporal">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

def EmitEntryPass : Pass<"tw-emit-entry", "::mlir::ModuleOp"> {
  let summary = "Builds the entry points of the ABI";
  let description = [{
    Adds `tw_main`, `tw_shapes`, `tw_load_K` and `tw_load_K_shapes`, which unpack the ABI's arrays and call the internal
    functions. Static dims are constants, the others are read; strides are row-major. Host functions now return a status.
    `tw.check` becomes `cf.assert`; every `cf.assert` gets a number (`tw.location`) in the module's table `tw.locations` of
    `[file, line, column, function, message]`. The module's `tw.aliases` lists for each output of `@main` the donated
    argument that holds it, or -1.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::cf::ControlFlowDialect", "::mlir::LLVM::LLVMDialect"];
}

def CpuPassPointersPass : Pass<"tw-cpu-pass-pointers", "::mlir::ModuleOp"> {
  let summary = "Passes pointers and open sizes instead of descriptors";
  let description = [{
    A buffer crosses a call or a launch as the pointer to its first element and one `index` for each size and stride that
    its type leaves open; the callee builds the descriptor again, of constants where it can. Buffers of kernels and bodies
    do not alias. The caller computes the pointer from the definition of the buffer, so that views which are only handed on
    need no descriptor at all.

    ```mlir
    call @kernel_0(%rt, %x) : (!llvm.ptr, memref<?x64xf32>) -> ()
    // becomes
    call @kernel_0(%rt, %pointer, %size) : (!llvm.ptr, !llvm.ptr, index) -> ()
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect", "::mlir::LLVM::LLVMDialect"];
}

def CpuLowerVectorsPass : Pass<"tw-cpu-lower-vectors"> {
  let summary = "Lowers vectors to what one instruction can do";
  let description = [{
    Contractions become outer products of fused multiply-adds, reductions go over outer dims first, transfers become loads
    and stores of one row, partial transfers are masked. Copies of strided buffers become loops over contiguous rows.
    `rt.group_dot` becomes `vdpbf16ps` or `vpdpbusd`.
  }];
  let dependentDialects = ["::mlir::vector::VectorDialect", "::mlir::scf::SCFDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::arith::ArithDialect", "::mlir::affine::AffineDialect", "::mlir::ub::UBDialect",
                           "::mlir::LLVM::LLVMDialect"];
}

def CpuExpandedShapesPass : Pass<"tw-cpu-expanded-shapes"> {
  let summary = "Describes expanded buffers by sizes and strides";
  let description = [{
    A `memref.expand_shape` with several dynamic sizes in a group becomes a `memref.reinterpret_cast`. `tw-cpu-lower-vectors`
    does so, too; this pass is for host code that has no vectors.
  }];
  let dependentDialects = ["::mlir::memref::MemRefDialect", "::mlir::arith::ArithDialect"];
}

def ExpandMathPass : Pass<"tw-expand-math", "::mlir::ModuleOp"> {
  let summary = "Expands elementary functions into arithmetic";
  let description = [{
    float32 functions on scalars and vectors become polynomials that vectorise, correct for infinities, NaN and denormals.
    float16 and bfloat16 compute in float32. What has no expansion, and all of float64, becomes calls of the C library, one
    per element. What the module's `#tw.target` says of the CPU decides how powers of two are multiplied. The measured errors stand in docs/design/0009-elementary-functions.md.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::vector::VectorDialect", "::mlir::func::FuncDialect",
                           "::mlir::math::MathDialect", "::mlir::scf::SCFDialect", "::mlir::LLVM::LLVMDialect"];
}

def CpuToLLVMPass : Pass<"tw-cpu-to-llvm", "::mlir::ModuleOp"> {
  let summary = "Converts the module to the LLVM dialect";
  let description = [{
    One conversion of arith, math, cf, func, memref, vector, index and rt. Functions other than the entries become internal;
    kernels are never inlined into the host function, so that equal kernels cost code once. CPU and features come from
    `#tw.target`.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}

#endif // TILEWRIGHT_TARGETS_CPU_TD
