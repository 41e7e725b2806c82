//===- TwShapeOps.td - Moving elements without computing --------*- tablegen -*-===//
#ifndef TW_SHAPE_OPS_TD
#define TW_SHAPE_OPS_TD

include "Tw/TwOpBase.td"

def Tw_BroadcastOp : Tw_StructuredOp<"broadcast", ["getLoopMaps", "getLoopSize"]> {
  let summary = "Repetition along new or unit dimensions";
  let description = [{
    Dimension `i` of `input` becomes dimension `dims[i]` of `result`; the other dimensions repeat it. `sizes` holds one
    index per '?' dimension of `result`, in order.

    (c1) `dims` names one dimension of `result` per dimension of `input`, in increasing order.
    (c2) a dimension of `input` has size 1 or the size of its dimension of `result`; '?' stands for itself only.
    (c3) there is one value in `sizes` per '?' dimension of `result`.
    (c4) `result` has the element type of `input`.

    Example:
    ```mlir
    %r = tw.broadcast %x sizes(%n) dims = [1] : tensor<4xf32> -> tensor<?x4xf32>
    ```
  }];
  let arguments = (ins Tw_Tensor:$input, Variadic<Index>:$sizes, DenseI64ArrayAttr:$dims);
  let results = (outs Tw_Tensor:$result);
  let assemblyFormat = [{
    $input (`sizes` `(` $sizes^ `)`)? `dims` `=` $dims attr-dict `:` type($input) `->` type($result)
  }];
  let hasFolder = 1;
  let hasCanonicalizer = 1;
  let hasVerifier = 1;
  // The sizes are given: nothing has to be asked of the input.
  let extraClassDefinition = [{
    ::mlir::LogicalResult $cppClass::reifyResultShapes(::mlir::OpBuilder &builder,
                                                       ::mlir::ReifiedRankedShapedTypeDims &shapes) {
      shapes.push_back(common::mixSizes(builder, getType(), getSizes()));
      return ::mlir::success();
    }
  }];
}

def Tw_TransposeOp : Tw_StructuredOp<"transpose", ["getLoopMaps"], [InferTypeOpAdaptor]> {
  let summary = "Permutation of dimensions";
  let description = [{
    Dimension `i` of `result` is dimension `permutation[i]` of `input`.

    (c1) `permutation` is a permutation of the dimensions of `input`.

    Example:
    ```mlir
    %r = tw.transpose %x permutation = [1, 0] : tensor<?x4xf32> -> tensor<4x?xf32>
    ```
  }];
  let arguments = (ins Tw_Tensor:$input, DenseI64ArrayAttr:$permutation);
  let results = (outs Tw_Tensor:$result);
  let assemblyFormat = "$input `permutation` `=` $permutation attr-dict `:` type($input) `->` type($result)";
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}

def Tw_ReshapeOp : Tw_ValueOp<"reshape"> {
  let summary = "The same elements in another shape";
  let description = [{
    Keeps the elements in row-major order. `sizes` holds one index per '?' dimension of `result`, in order; their
    product must fit, which is not checked at run time.

    (c1) `result` has the element type of `input`.
    (c2) there is one value in `sizes` per '?' dimension of `result`.
    (c3) where both shapes are static they have the same number of elements.

    Example:
    ```mlir
    %r = tw.reshape %x sizes(%n) : tensor<?x8xf32> -> tensor<?x2x4xf32>
    ```
  }];
  let arguments = (ins Tw_Tensor:$input, Variadic<Index>:$sizes);
  let results = (outs Tw_Tensor:$result);
  let assemblyFormat = "$input (`sizes` `(` $sizes^ `)`)? attr-dict `:` type($input) `->` type($result)";
  let hasFolder = 1;
  let hasCanonicalizer = 1;
  let hasVerifier = 1;
}

def Tw_SliceOp : Tw_ValueOp<"slice", [AttrSizedOperandSegments]> {
  let summary = "A strided box of a tensor";
  let description = [{
    Element `i` of `result` along a dimension is element `offset + i * stride` of `input`. Offsets that are values are
    clamped, so that the box lies inside; sizes must fit.

    (c1) there is one offset, size and stride per dimension of `input`.
    (c2) strides are positive.
    (c3) a box with static bounds lies inside `input`.
    (c4) `result` has the sizes of the box and the element type of `input`.

    Example:
    ```mlir
    %r = tw.slice %x[%i, 0] [1, 4] [1, 2] : tensor<?x8xf32> -> tensor<1x4xf32>
    ```
  }];
  let arguments = (ins Tw_Tensor:$input, Variadic<Index>:$offsets, Variadic<Index>:$sizes, Variadic<Index>:$strides,
                       DenseI64ArrayAttr:$static_offsets, DenseI64ArrayAttr:$static_sizes,
                       DenseI64ArrayAttr:$static_strides);
  let results = (outs Tw_Tensor:$result);
  let assemblyFormat = [{
    $input `` custom<DynamicIndexList>($offsets, $static_offsets) custom<DynamicIndexList>($sizes, $static_sizes)
    custom<DynamicIndexList>($strides, $static_strides) attr-dict `:` type($input) `->` type($result)
  }];
  let extraClassDeclaration = [{
    ::llvm::SmallVector<::mlir::OpFoldResult> getMixedOffsets() {
      return ::mlir::getMixedValues(getStaticOffsets(), getOffsets(), getContext());
    }
    ::llvm::SmallVector<::mlir::OpFoldResult> getMixedSizes() {
      return ::mlir::getMixedValues(getStaticSizes(), getSizes(), getContext());
    }
    ::llvm::SmallVector<::mlir::OpFoldResult> getMixedStrides() {
      return ::mlir::getMixedValues(getStaticStrides(), getStrides(), getContext());
    }
  }];
  let hasFolder = 1;
  let hasVerifier = 1;
}

def Tw_UpdateSliceOp : Tw_LikeFirstOperandOp<"update_slice", [AllTypesMatch<["input", "result"]>]> {
  let summary = "A tensor with one box replaced";
  let description = [{
    `result` is `input`, but for the box of the size of `update` at the offsets. Offsets are clamped, so that the box lies
    inside.

    (c1) there is one offset per dimension of `input`.
    (c2) `update` has the rank and element type of `input`, and no dimension is larger.
    (c3) `result` has the type of `input`.

    Example:
    ```mlir
    %r = tw.update_slice %x, %u[%i, 0] : tensor<?x8xf32>, tensor<1x8xf32>
    ```
  }];
  let arguments = (ins Tw_Tensor:$input, Tw_Tensor:$update, Variadic<Index>:$offsets,
                       DenseI64ArrayAttr:$static_offsets);
  let results = (outs Tw_Tensor:$result);
  let assemblyFormat = [{
    $input `,` $update `` custom<DynamicIndexList>($offsets, $static_offsets) attr-dict `:` type($input) `,` type($update)
  }];
  let extraClassDeclaration = [{
    ::llvm::SmallVector<::mlir::OpFoldResult> getMixedOffsets() {
      return ::mlir::getMixedValues(getStaticOffsets(), getOffsets(), getContext());
    }
  }];
  let hasVerifier = 1;
}

def Tw_ConcatOp : Tw_ValueOp<"concat", [InferTypeOpAdaptor]> {
  let summary = "Tensors side by side";
  let description = [{
    Joins the operands along dimension `axis`, in order.

    (c1) there is an operand, and `axis` is a dimension of it.
    (c2) the operands have the same element type and rank.
    (c3) the operands have the same sizes, but for `axis`.

    Example:
    ```mlir
    %r = tw.concat %a, %b axis = 0 : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x4xf32>
    ```
  }];
  let arguments = (ins Variadic<Tw_Tensor>:$inputs, I64Attr:$axis);
  let results = (outs Tw_Tensor:$result);
  let assemblyFormat = "$inputs `axis` `=` $axis attr-dict `:` functional-type($inputs, $result)";
  let hasFolder = 1;
}

def Tw_PadOp : Tw_ValueOp<"pad", [InferTypeOpAdaptor]> {
  let summary = "A tensor with a border";
  let description = [{
    Adds `low` elements before and `high` elements after each dimension, all equal to `value`.

    (c1) `low` and `high` have one entry per dimension of `input`, none negative.
    (c2) `value` has the element type of `input`.

    Example:
    ```mlir
    %r = tw.pad %x, %v low = [0, 1] high = [0, 2] : tensor<?x4xf32>, tensor<f32> -> tensor<?x7xf32>
    ```
  }];
  let arguments = (ins Tw_Tensor:$input, Tw_Scalar<Tw_Any>:$value, DenseI64ArrayAttr:$low, DenseI64ArrayAttr:$high);
  let results = (outs Tw_Tensor:$result);
  let assemblyFormat = [{
    $input `,` $value `low` `=` $low `high` `=` $high attr-dict `:` type($input) `,` type($value) `->` type($result)
  }];
  let hasFolder = 1;
}

def Tw_IotaOp : Tw_StructuredOp<"iota", ["getLoopMaps", "getLoopSize"]> {
  let summary = "Positions along a dimension";
  let description = [{
    Each element is its position along dimension `axis`. `sizes` holds one index per '?' dimension, in order.

    (c1) `axis` is a dimension of `result`.
    (c2) there is one value in `sizes` per '?' dimension of `result`.

    Example:
    ```mlir
    %r = tw.iota sizes(%n) axis = 0 : tensor<?x4xi32>
    ```
  }];
  let arguments = (ins Variadic<Index>:$sizes, I64Attr:$axis);
  let results = (outs Tw_NumTensor:$result);
  let assemblyFormat = "(`sizes` `(` $sizes^ `)`)? `axis` `=` $axis attr-dict `:` type($result)";
  let hasVerifier = 1;
  let extraClassDefinition = [{
    ::mlir::LogicalResult $cppClass::reifyResultShapes(::mlir::OpBuilder &builder,
                                                       ::mlir::ReifiedRankedShapedTypeDims &shapes) {
      shapes.push_back(common::mixSizes(builder, getType(), getSizes()));
      return ::mlir::success();
    }
  }];
}

def Tw_FlipOp : Tw_StructuredOp<"flip", ["getLoopInputs", "getLoopMaps", "getLoopSize"],
                                [AllTypesMatch<["input", "result"]>]> {
  let summary = "Reversal along dimensions";
  let description = [{
    Reverses the order of elements along each of `axes`.

    (c1) each of `axes` is a dimension of `input`, and they increase.
    (c2) `result` has the type of `input`.

    Example:
    ```mlir
    %r = tw.flip %x axes = [0] : tensor<?x4xf32>
    ```
  }];
  let arguments = (ins Tw_Tensor:$input, DenseI64ArrayAttr:$axes);
  let results = (outs Tw_Tensor:$result);
  let assemblyFormat = "$input `axes` `=` $axes attr-dict `:` type($input)";
  let hasFolder = 1;
  let hasVerifier = 1;
  let extraClassDefinition = [{
    ::mlir::LogicalResult $cppClass::reifyResultShapes(::mlir::OpBuilder &builder,
                                                       ::mlir::ReifiedRankedShapedTypeDims &shapes) {
      return common::reifyLikeOperand(getOperation(), builder, 0, shapes);
    }
  }];
}

def Tw_GatherOp : Tw_StructuredOp<"gather", ["getLoopInputs", "getLoopMaps", "getLoopSize"],
    [InferTypeOpAdaptor, DeclareOpInterfaceMethods<Tw_CompositeOpInterface, ["isComposite"]>]> {
  let summary = "Selected positions along a dimension";
  let description = [{
    `numpy.take`: dimension `axis` of `input` is replaced by the dimensions of `indices`. `mode` says what an index out of
    range means: "clip" takes the nearest position (negative ones are 0), "wrap" counts modulo the size, "raise" is a
    run-time error, but negative indices count from the end. "checked" is "raise" after its check: memory-safe, and
    without a defined value for an index out of range.

    (c1) `axis` is a dimension of `input`.
    (c2) `mode` is "clip", "wrap", "raise" or "checked".

    Example:
    ```mlir
    %r = tw.gather %x, %i axis = 0 {mode = "clip"} : tensor<?x4xf32>, tensor<5xi64> -> tensor<5x4xf32>
    ```
  }];
  let arguments = (ins Tw_Tensor:$input, Tw_IntTensor:$indices, I64Attr:$axis,
                       DefaultValuedStrAttr<StrAttr, "clip">:$mode);
  let results = (outs Tw_Tensor:$result);
  let assemblyFormat = "$input `,` $indices `axis` `=` $axis attr-dict `:` type($input) `,` type($indices) `->` type($result)";
  let hasVerifier = 1;
  let extraClassDefinition = [{
    ::mlir::LogicalResult $cppClass::reifyResultShapes(::mlir::OpBuilder &builder,
                                                       ::mlir::ReifiedRankedShapedTypeDims &shapes) {
      auto sizes = common::dimSizes(builder, getLoc(), getInput());
      auto taken = common::dimSizes(builder, getLoc(), getIndices());
      sizes.erase(sizes.begin() + getAxis());
      sizes.insert(sizes.begin() + getAxis(), taken.begin(), taken.end());
      shapes.push_back(sizes);
      return ::mlir::success();
    }
  }];
}

def Tw_ScatterOp : Tw_LikeFirstOperandOp<"scatter", [AllTypesMatch<["input", "result"]>]> {
  let summary = "A tensor with selected positions updated";
  let description = [{
    For each `k` in order, position `indices[k]` of `input` along `axis` is replaced by, or combined with, position `k` of
    `updates`. Negative indices count from the end; positions out of range are left out.

    (c1) `axis` is a dimension of `input`.
    (c2) `indices` has one dimension.
    (c3) `updates` has the type of `input`, but for the size of `axis`, which is that of `indices`.
    (c4) `kind` is "set", "add", "max" or "min".
    (c5) `result` has the type of `input`.

    Example:
    ```mlir
    %r = tw.scatter %x, %i, %u axis = 0 kind = "add" : tensor<?x4xf32>, tensor<5xi64>, tensor<5x4xf32>
    ```
  }];
  let arguments = (ins Tw_Tensor:$input, Tw_IntTensor:$indices, Tw_Tensor:$updates, I64Attr:$axis, StrAttr:$kind);
  let results = (outs Tw_Tensor:$result);
  let assemblyFormat = [{
    $input `,` $indices `,` $updates `axis` `=` $axis `kind` `=` $kind attr-dict
    `:` type($input) `,` type($indices) `,` type($updates)
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Between tensors and indices
//===----------------------------------------------------------------------===//
def Tw_DimOp : Tw_Op<"dim", [Pure]> {
  let summary = "The size of a dimension";
  let description = [{
    (c1) `axis` is a dimension of `input`.

    Example:
    ```mlir
    %n = tw.dim %x axis = 0 : tensor<?x4xf32>
    ```
  }];
  let arguments = (ins Tw_Tensor:$input, I64Attr:$axis);
  let results = (outs Index:$result);
  let assemblyFormat = "$input `axis` `=` $axis attr-dict `:` type($input)";
  let hasFolder = 1;
  let hasCanonicalizer = 1;
  let hasVerifier = 1;
}

def Tw_ToIndexOp : Tw_Op<"to_index", [Pure]> {
  let summary = "An integer in a tensor as an index";
  let description = [{
    (c1) `input` has rank 0 and an integer element type.

    Example:
    ```mlir
    %i = tw.to_index %x : tensor<i64>
    ```
  }];
  let arguments = (ins Tw_Scalar<Tw_Int>:$input);
  let results = (outs Index:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
  let hasFolder = 1;
}

def Tw_FromIndexOp : Tw_ValueOp<"from_index", [InferTypeOpAdaptor]> {
  let summary = "An index as an integer in a tensor";
  let description = [{
    (c1) `result` has type `tensor<i64>`.

    Example:
    ```mlir
    %x = tw.from_index %i : tensor<i64>
    ```
  }];
  let arguments = (ins Index:$input);
  let results = (outs 0DTensorOf<[I64]>:$result);
  let assemblyFormat = "$input attr-dict `:` type($result)";
  let hasFolder = 1;
}

#endif // TW_SHAPE_OPS_TD
