//===- TwRtOps.td - What compiled code asks of the runtime ------*- tablegen -*-===//
#ifndef TWRT_OPS_TD
#define TWRT_OPS_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def TwRt_Dialect : Dialect {
  let name = "rt";
  let summary = "What compiled code asks of its surroundings";
  let description = [{
    The services that compiled host code takes from the `TwRt` table of the ABI: threads and temporary memory. The
    operations name no table; the enclosing function's first argument is the table once stage `target` is reached. And
    the one service that kernels take from a processor beyond what upstream's dialects can say: `rt.group_dot`.
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

/// 32-bit words, each of them or as lanes of a vector.
def TwRt_Words : TypeOrValueSemanticsContainer<I32, "32-bit words">;
def TwRt_Sums : TypeOrValueSemanticsContainer<AnyTypeOf<[F32, I32]>, "f32 or i32">;

def TwRt_GroupDotOp : TwRt_Op<"group_dot", [Pure, SameTypeOperands, SameOperandsAndResultShape] # ElementwiseMappable.traits> {
  let summary = "Inner product of two groups in words";
  let description = [{
    Each word holds a group of neighbours of a summed dimension, the first in its lowest bits; the result is the sum of
    the products of two groups. The result's type says what a word holds:

    - `f32`: two bfloat16. Denormal numbers count as zeros; the order of additions is the processor's.
    - `i32`: four bytes, those of `lhs` unsigned, those of `rhs` signed. Exact.

    What is added to the result is added by the same instruction. Made only for targets whose facts (`group_bf16`,
    `group_i8`) say that they have one.

    Example: `%sum = rt.group_dot %weights, %row : vector<16xi32> -> vector<16xf32>`.
  }];
  let arguments = (ins TwRt_Words:$lhs, TwRt_Words:$rhs);
  let results = (outs TwRt_Sums:$result);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` type($lhs) `->` type($result)";
}

def TwRt_LaunchKernelOp : TwRt_Op<"launch_kernel"> {
  let summary = "Starts a kernel on a device";
  let description = [{
    Starts `kernel` on `blocks` blocks of `threads` threads and returns at once; launches and reads of one call happen in
    order. A grid without blocks is not started. Arrays are passed as the address of their first element, everything else
    by value.

    Example: `rt.launch_kernel @kernel_0_0[%blocks, 256](%x, %n : memref<?xf32>, index)`.
  }];
  let arguments = (ins FlatSymbolRefAttr:$kernel, Index:$blocks, I64Attr:$threads, Variadic<AnyType>:$captures);
  let assemblyFormat = "$kernel `[` $blocks `,` $threads `]` `(` ($captures^ `:` type($captures))? `)` attr-dict";
}

def TwRt_ReadOp : TwRt_Op<"read", [TypesMatchWith<"the element of the array", "source", "value",
                                                  "::llvm::cast<::mlir::MemRefType>($_self).getElementType()">]> {
  let summary = "Waits for one element of device memory";
  let description = [{
    Returns the only element of a device array once everything started before is done: what host code decides by.

    Example: `%v = rt.read %x : memref<i64>`.
  }];
  let arguments = (ins Arg<MemRefRankOf<[AnyType], [0]>, "", [MemRead]>:$source);
  let results = (outs AnyType:$value);
  let assemblyFormat = "$source attr-dict `:` type($source)";
}

#endif // TWRT_OPS_TD
