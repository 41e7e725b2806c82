//===- TwRtOps.td - What host code asks of the runtime ----------*- tablegen -*-===//
#ifndef TWRT_OPS_TD
#define TWRT_OPS_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def TwRt_Dialect : Dialect {
  let name = "rt";
  let summary = "Calls of the runtime's table";
  let description = [{
    The services that compiled host code takes from the `TwRt` table of the ABI: threads and temporary memory. The
    operations name no table; the enclosing function's first argument is the table once stage `target` is reached.
  }];
  let cppNamespace = "::tilewright::rt";
}

class TwRt_Op<string mnemonic, list<Trait> traits = []> : Op<TwRt_Dialect, mnemonic, traits>;

/// Bytes of temporary memory.
def TwRt_Bytes : MemRefRankOf<[I8], [1]>;

def TwRt_LaunchOp : TwRt_Op<"launch", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Runs a loop body on all threads";
  let description = [{
    Calls `body` over disjoint ranges `[begin, end)` that cover `[0, count)`, on any threads, and returns when all have
    run. The body is a function `(captures..., begin: index, end: index)`; the runtime table, where functions carry it
    already, comes first and is not among the captures.

    - (c1) `body` names a function.
    - (c2) the function takes the captures and two `index` values last.

    Example: `rt.launch @kernel_0_body[%n](%x, %y : memref<?xf32>, memref<?xf32>)`.
  }];
  let arguments = (ins FlatSymbolRefAttr:$body, Index:$count, Variadic<AnyType>:$captures);
  let assemblyFormat = "$body `[` $count `]` `(` ($captures^ `:` type($captures))? `)` attr-dict";
}

def TwRt_ScratchPushOp : TwRt_Op<"scratch_push"> {
  let summary = "Takes temporary memory of this thread";
  let description = [{
    Returns at least `bytes` bytes, aligned to 64, from a stack of the calling thread. Every push has its pop, in mirrored
    order.

    Example: `%m = rt.scratch_push %bytes : memref<?xi8>`.
  }];
  let arguments = (ins Index:$bytes);
  let results = (outs Res<TwRt_Bytes, "", [MemAlloc<DefaultResource>]>:$memory);
  let assemblyFormat = "$bytes attr-dict `:` type($memory)";
}

def TwRt_ScratchPopOp : TwRt_Op<"scratch_pop"> {
  let summary = "Gives temporary memory back";
  let description = [{
    Example: `rt.scratch_pop %m : memref<?xi8>`.
  }];
  let arguments = (ins Arg<TwRt_Bytes, "", [MemFree<DefaultResource>]>:$memory);
  let assemblyFormat = "$memory attr-dict `:` type($memory)";
}

#endif // TWRT_OPS_TD
