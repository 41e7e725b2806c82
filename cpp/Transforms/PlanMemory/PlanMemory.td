//===- PlanMemory.td - One arena for all intermediates ----------*- tablegen -*-===//
#ifndef TILEWRIGHT_PLANMEMORY_TD
#define TILEWRIGHT_PLANMEMORY_TD

include "mlir/Pass/PassBase.td"

def PlanMemoryPass : Pass<"tw-plan-memory", "::mlir::ModuleOp"> {
  let summary = "Gives every intermediate buffer its place";
  let description = [{
    Host functions: every allocation becomes a view of one arena, the function's last argument (`tw.arena`). Buffers whose
    lifetimes do not overlap share memory. Static sizes are placed by best fit; dynamic sizes follow, one slot for equal
    symbolic sizes; everything is aligned to 64 bytes. The bytes needed are the function attribute `tw.scratch` when they
    are known, and are appended to the results of the shape function when not.

    Kernels: small static allocations live on the stack, others on the scratch stack of the runtime, both per iteration of
    the parallel loop they lie in.

    ```mlir
    %a = memref.alloc() : memref<16xf32>
    // becomes
    %a = memref.view %arena[%c64][] : memref<?xi8> to memref<16xf32>
    ```
  }];
  let options = [
    Option<"stackBytes", "stack-bytes", "int64_t", "16384", "Largest buffer of a kernel that lives on the stack">,
    Option<"stackTotal", "stack-total", "int64_t", "65536", "Stack bytes of one kernel">];
  let statistics = [
    Statistic<"placed", "placed", "Buffers placed in an arena">,
    Statistic<"stacked", "stacked", "Buffers on the stack">,
    Statistic<"pushed", "pushed", "Buffers on the scratch stack">];
  let dependentDialects = ["::mlir::memref::MemRefDialect", "::mlir::arith::ArithDialect", "::tilewright::rt::TwRtDialect"];
}

#endif // TILEWRIGHT_PLANMEMORY_TD
