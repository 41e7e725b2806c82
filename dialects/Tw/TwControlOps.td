//===- TwControlOps.td - Control flow and module-level facts ----*- tablegen -*-===//
#ifndef TW_CONTROL_OPS_TD
#define TW_CONTROL_OPS_TD

include "mlir/IR/SymbolInterfaces.td"
include "Tw/TwOpBase.td"

class Tw_RegionOp<string mnemonic, list<Trait> traits = []>
    : Tw_Op<mnemonic, [RecursiveMemoryEffects, RecursivelySpeculatable,
                       SingleBlockImplicitTerminator<"YieldOp">] # traits>;

def Tw_YieldOp : Tw_Op<"yield", [Pure, Terminator, ReturnLike, ParentOneOf<["CondOp", "WhileOp", "ScanOp"]>]> {
  let summary = "End of a region, with its values";
  let description = [{
    (c1) the parent is `tw.cond`, `tw.while` or `tw.scan`.

    Example:
    ```mlir
    tw.yield %a : tensor<4xf32>
    ```
  }];
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
  let builders = [OpBuilder<(ins)>];
}

def Tw_CondOp : Tw_RegionOp<"cond"> {
  let summary = "One of two computations";
  let description = [{
    Runs `then_region` if `condition` holds, else `else_region`. Both take `inputs` as block arguments.

    (c1) the arguments of both regions have the types of `inputs`.
    (c2) both regions yield values of the types of the results.

    Example:
    ```mlir
    %r = tw.cond %p(%a) : (tensor<4xf32>) -> tensor<4xf32> then {
    ^bb0(%x: tensor<4xf32>):
      tw.yield %x : tensor<4xf32>
    } else {
    ^bb0(%x: tensor<4xf32>):
      %n = tw.neg %x : tensor<4xf32>
      tw.yield %n : tensor<4xf32>
    }
    ```
  }];
  let arguments = (ins Tw_Flag:$condition, Variadic<AnyType>:$inputs);
  let results = (outs Variadic<AnyType>:$results);
  let regions = (region SizedRegion<1>:$then_region, SizedRegion<1>:$else_region);
  let assemblyFormat = [{
    $condition `(` $inputs `)` `:` functional-type($inputs, $results) `then` $then_region `else` $else_region
    attr-dict-with-keyword
  }];
  let hasVerifier = 1;
}

def Tw_WhileOp : Tw_RegionOp<"while"> {
  let summary = "Repetition while a condition holds";
  let description = [{
    `condition` takes the carried values and yields a flag; while it holds, `body` turns them into the next ones.

    (c1) the results and the arguments of both regions have the types of `inits`.
    (c2) `condition` yields one `tensor<i1>`.
    (c3) `body` yields values of the types of `inits`.

    Example:
    ```mlir
    %r = tw.while(%a) : (tensor<i32>) -> tensor<i32> cond {
    ^bb0(%x: tensor<i32>):
      %p = tw.compare "lt", %x, %n : tensor<i32>
      tw.yield %p : tensor<i1>
    } do {
    ^bb0(%x: tensor<i32>):
      %y = tw.add %x, %x : tensor<i32>
      tw.yield %y : tensor<i32>
    }
    ```
  }];
  let arguments = (ins Variadic<AnyType>:$inits);
  let results = (outs Variadic<AnyType>:$results);
  let regions = (region SizedRegion<1>:$condition, SizedRegion<1>:$body);
  let assemblyFormat = [{
    `(` $inits `)` `:` functional-type($inits, $results) `cond` $condition `do` $body attr-dict-with-keyword
  }];
  let hasVerifier = 1;
}

def Tw_ScanOp : Tw_RegionOp<"scan", [AttrSizedOperandSegments]> {
  let summary = "Repetition over leading dimensions";
  let description = [{
    For each position of the leading dimension of `xs`, `body` takes the carried values and the slices of `xs`, and yields
    the next carried values and slices of the stacked results. Results are the last carried values, then the stacked ones.

    (c1) there is at least one of `xs`; all have a leading dimension, and static ones are equal.
    (c2) `body` takes the types of `inits`, then those of the slices of `xs`.
    (c3) `body` yields the types of `inits`, then those of the slices of the stacked results.
    (c4) results have the types of `inits`, then a leading dimension like `xs` before what is yielded.

    Example:
    ```mlir
    %r:2 = tw.scan init(%a) over(%xs) : (tensor<f32>), (tensor<?xf32>) -> tensor<f32>, tensor<?xf32> {
    ^bb0(%c: tensor<f32>, %x: tensor<f32>):
      %s = tw.add %c, %x : tensor<f32>
      tw.yield %s, %s : tensor<f32>, tensor<f32>
    }
    ```
  }];
  let arguments = (ins Variadic<Tw_Tensor>:$inits, Variadic<Tw_Tensor>:$xs);
  let results = (outs Variadic<Tw_Tensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    `init` `(` $inits `)` `over` `(` $xs `)` `:` `(` type($inits) `)` `,` `(` type($xs) `)` `->` type($results) $body
    attr-dict-with-keyword
  }];
  let hasVerifier = 1;
}

def Tw_CheckOp : Tw_Op<"check", [DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "Run-time failure unless a flag holds";
  let description = [{
    The call fails with `message` and the location of this operation. Stays in the host function until `target`; from stage
    `linalg` on the flag is a scalar.

    Example:
    ```mlir
    tw.check %p, "index out of range" : tensor<i1>
    ```
  }];
  let arguments = (ins AnyTypeOf<[Tw_Flag, I1]>:$condition, StrAttr:$message);
  let assemblyFormat = "$condition `,` $message attr-dict `:` type($condition)";
}

def Tw_DimSymbolOp : Tw_Op<"dim_symbol", [Symbol]> {
  let summary = "A symbolic size";
  let description = [{
    Arguments name it in `tw.dims`; it is checked once at entry. `max` is absent where there is no bound.

    (c1) 0 <= `min`, `min` <= `max`, and `multiple_of` is positive.

    Example:
    ```mlir
    tw.dim_symbol @n {min = 1 : i64, max = 64 : i64}
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, DefaultValuedAttr<I64Attr, "0">:$min, OptionalAttr<I64Attr>:$max,
                       DefaultValuedAttr<I64Attr, "1">:$multiple_of);
  let assemblyFormat = "$sym_name attr-dict";
  let hasVerifier = 1;
}

#endif // TW_CONTROL_OPS_TD
