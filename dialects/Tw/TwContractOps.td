//===- TwContractOps.td - Contractions and windows --------------*- tablegen -*-===//
#ifndef TW_CONTRACT_OPS_TD
#define TW_CONTRACT_OPS_TD

include "Tw/TwOpBase.td"

def Tw_DotGeneralOp : Tw_StructuredOp<"dot_general",
    ["getLoopMaps", "getLoopIterators", "getLoopInit", "getLoopElementType"]> {
  let summary = "Contraction of two tensors";
  let description = [{
    Multiplies `lhs` and `rhs` and sums over the pairs of contracted dimensions; batch dimensions go together. The result
    has the batch dimensions, the other ones of `lhs`, then the other ones of `rhs`. f16 and bf16 are accumulated in f32,
    integers in the element type of the result.

    (c1) dimension lists name existing dimensions, each at most once.
    (c2) batch lists have equal length, and so have contraction lists.
    (c3) paired dimensions have the same size.
    (c4) `result` has the shape described above.
    (c5) the operands have the same element type; that of the result is the same or wider of the same kind.
    (c6) `precision`, if given, is "tf32", and the operands and the result are f32: a target may round factors to
         TensorFloat-32 before it multiplies them. Sums are f32 nevertheless. Without it nothing is rounded.

    Example:
    ```mlir
    %r = tw.dot_general %a, %b lhs_contract = [1] rhs_contract = [0]
       : tensor<?x8xf32>, tensor<8x4xf32> -> tensor<?x4xf32>
    ```
  }];
  let arguments = (ins Tw_FactorTensor:$lhs, Tw_FactorTensor:$rhs,
    DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$lhs_batch, DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$rhs_batch,
    DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$lhs_contract, DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$rhs_contract,
    OptionalAttr<StrAttr>:$precision);
  let results = (outs Tw_NumTensor:$result);
  let assemblyFormat = [{
    $lhs `,` $rhs (`lhs_batch` `=` $lhs_batch^)? (`rhs_batch` `=` $rhs_batch^)? (`lhs_contract` `=` $lhs_contract^)?
    (`rhs_contract` `=` $rhs_contract^)? (`precision` `=` $precision^)? attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tw_ConvOp : Tw_StructuredOp<"conv", ["getLoopInputs", "getLoopMaps", "getLoopIterators", "getLoopSize",
      "getLoopInit", "getLoopElementType", "finishLoopResult"],
    [InferTypeOpAdaptor, DeclareOpInterfaceMethods<Tw_CompositeOpInterface, ["isComposite"]>]> {
  let summary = "Convolution";
  let description = [{
    Correlates `input` [N, C, spatial...] with `filter` [O, C/groups, window...] over any number of spatial dimensions. The
    result is [N, O, spatial...]. Padding is with zeros. f16 and bf16 are accumulated in f32.

    (c1) `input` and `filter` have the same rank, at least 3, and the same element type.
    (c2) `strides`, `dilations`, `low` and `high` have one entry per spatial dimension; strides and dilations are positive,
         paddings not negative.
    (c3) `groups` divides C and O, and dimension 1 of `filter` is C / groups; all three are static.
    (c4) window sizes are static, and a static padded input is not smaller than the dilated window.
    (c5) `precision`, if given, is "tf32", and the operands are f32; as in `tw.dot_general`.

    Example:
    ```mlir
    %r = tw.conv %x, %w strides = [2, 2] dilations = [1, 1] low = [1, 1] high = [1, 1] groups = 1
       : tensor<?x3x8x8xf32>, tensor<16x3x3x3xf32> -> tensor<?x16x4x4xf32>
    ```
  }];
  let arguments = (ins Tw_NumTensor:$input, Tw_NumTensor:$filter, DenseI64ArrayAttr:$strides,
    DenseI64ArrayAttr:$dilations, DenseI64ArrayAttr:$low, DenseI64ArrayAttr:$high, DefaultValuedAttr<I64Attr, "1">:$groups,
    OptionalAttr<StrAttr>:$precision);
  let results = (outs Tw_NumTensor:$result);
  let assemblyFormat = [{
    $input `,` $filter `strides` `=` $strides `dilations` `=` $dilations `low` `=` $low `high` `=` $high
    `groups` `=` $groups (`precision` `=` $precision^)? attr-dict `:` type($input) `,` type($filter) `->` type($result)
  }];
  let extraClassDefinition = [{
    ::mlir::LogicalResult $cppClass::reifyResultShapes(::mlir::OpBuilder &builder,
                                                       ::mlir::ReifiedRankedShapedTypeDims &shapes) {
      return common::reifyWindowed(getOperation(), builder, shapes);
    }
  }];
}

def Tw_PoolOp : Tw_StructuredOp<"pool", ["getLoopInputs", "getLoopMaps", "getLoopIterators", "getLoopSize",
      "getLoopInit", "getLoopElementType"],
    [InferTypeOpAdaptor, DeclareOpInterfaceMethods<Tw_CompositeOpInterface, ["isComposite"]>]> {
  let summary = "Reduction of a moving window";
  let description = [{
    The maximum or the sum of a window that moves over the spatial dimensions of `input` [N, C, spatial...]. Padding never
    wins a maximum and adds nothing to a sum.

    (c1) `input` has rank 3 or more.
    (c2) `window`, `strides`, `dilations`, `low` and `high` have one entry per spatial dimension; the first three are
         positive, paddings not negative.
    (c3) `kind` is "max" or "sum".
    (c4) a static padded input is not smaller than the dilated window.

    Example:
    ```mlir
    %r = tw.pool %x kind = "max" window = [2, 2] strides = [2, 2] dilations = [1, 1] low = [0, 0] high = [0, 0]
       : tensor<?x3x8x8xf32> -> tensor<?x3x4x4xf32>
    ```
  }];
  let arguments = (ins Tw_NumTensor:$input, StrAttr:$kind, DenseI64ArrayAttr:$window, DenseI64ArrayAttr:$strides,
    DenseI64ArrayAttr:$dilations, DenseI64ArrayAttr:$low, DenseI64ArrayAttr:$high);
  let results = (outs Tw_NumTensor:$result);
  let assemblyFormat = [{
    $input `kind` `=` $kind `window` `=` $window `strides` `=` $strides `dilations` `=` $dilations `low` `=` $low
    `high` `=` $high attr-dict `:` type($input) `->` type($result)
  }];
  let extraClassDefinition = [{
    ::mlir::LogicalResult $cppClass::reifyResultShapes(::mlir::OpBuilder &builder,
                                                       ::mlir::ReifiedRankedShapedTypeDims &shapes) {
      return common::reifyWindowed(getOperation(), builder, shapes);
    }
  }];
}

#endif // TW_CONTRACT_OPS_TD
