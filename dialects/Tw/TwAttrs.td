//===- TwAttrs.td - Parameters that live in the IR --------------*- tablegen -*-===//
#ifndef TW_ATTRS_TD
#define TW_ATTRS_TD

include "mlir/IR/AttrTypeBase.td"
include "Tw/TwDialect.td"

class Tw_Attr<string name, string attrMnemonic> : AttrDef<Tw_Dialect, name> {
  let mnemonic = attrMnemonic;
}

def Tw_ConfigAttr : Tw_Attr<"Config", "config"> {
  let summary = "How one computation is tiled and vectorised";
  let description = [{
    Sizes are per loop of the operation, in its own loop order; 0 means "not tiled at this level".

    - `workgroup`: the tile that one thread computes (`scf.forall`); on a kernel's root only.
    - `tile`: the register tile inside it (`scf.for`); what is fused into the root is computed per register tile.
    - `lane`: the loop that runs over vector lanes, or -1 where the operation is lowered to scalar loops.
    - `vector`: the number of lanes of one vector.
    - `unroll`: vectors kept in flight along the lane loop.
    - `lowering`: `vector`, or `loops` for operations that stay loops until stage `target`.

    Example: `#tw.config<workgroup = [64, 256, 0], tile = [8, 32, 0], lane = 1, vector = 16, unroll = 2, lowering = "vector">`.
  }];
  let parameters = (ins
    OptionalArrayRefParameter<"int64_t">:$workgroup,
    OptionalArrayRefParameter<"int64_t">:$tile,
    "int64_t":$lane, "int64_t":$vector, "int64_t":$unroll, "::mlir::StringAttr":$lowering);
  let assemblyFormat = [{
    `<` `workgroup` `=` `[` (`]`) : ($workgroup^ `]`)? `,` `tile` `=` `[` (`]`) : ($tile^ `]`)? `,`
    `lane` `=` $lane `,` `vector` `=` $vector `,` `unroll` `=` $unroll `,` `lowering` `=` $lowering `>`
  }];
}

def Tw_TargetAttr : Tw_Attr<"Target", "target"> {
  let summary = "Facts of the machine that a kernel is compiled for";
  let description = [{
    `kind` is the target's name (`cpu`, `cuda`); `cpu` and `features` are what LLVM calls them; `facts` holds numbers that
    `select` reads: `vector_bits`, `registers`, `l1_bytes`, `l2_bytes`, `threads`; `group_bf16` and `group_i8`, the
    products of a 32-bit lane that one instruction sums up (1: there is none).

    Example: `#tw.target<kind = "cpu", cpu = "znver4", features = "+avx512f", facts = {vector_bits = 512 : i64}>`.
  }];
  let parameters = (ins "::mlir::StringAttr":$kind, "::mlir::StringAttr":$cpu, "::mlir::StringAttr":$features,
                        "::mlir::DictionaryAttr":$facts);
  let assemblyFormat = "`<` struct(params) `>`";
}

def Tw_FormatAttr : Tw_Attr<"Format", "format"> {
  let summary = "A quantisation format";
  let description = [{
    Names how stored integers and their scales become numbers: `q4_0`, `q4_1`, `q5_0`, `q5_1`, `q8_0`, `q4_k`, `q5_k`,
    `q6_k`, `int8`, `int4`. `group` is the number of weights that share a scale along the last dimension (0: the whole row).

    Example: `#tw.format<name = "q4_1", group = 32>`.
  }];
  let parameters = (ins "::mlir::StringAttr":$name, "int64_t":$group);
  let assemblyFormat = "`<` struct(params) `>`";
}

#endif // TW_ATTRS_TD
