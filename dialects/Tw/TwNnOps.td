//===- TwNnOps.td - Formulas of neural networks -----------------*- tablegen -*-===//
#ifndef TW_NN_OPS_TD
#define TW_NN_OPS_TD

include "Tw/TwOpBase.td"

class Tw_CompositeLikeOp<string mnemonic, list<Trait> traits = []>
    : Tw_LikeFirstOperandOp<mnemonic, [DeclareOpInterfaceMethods<Tw_CompositeOpInterface>] # traits>;

class Tw_SoftmaxLikeOp<string mnemonic, string title, string formula>
    : Tw_CompositeLikeOp<mnemonic, [AllTypesMatch<["input", "result"]>]> {
  let summary = title;
  let description = formula # [{ along dimension `axis`, with the maximum subtracted first. Half-precision floats are
    computed in f32.

    (c1) `axis` is a dimension of `input`.
    (c2) `result` has the type of `input`.

    Example:
    ```mlir
    %r = tw.}] # mnemonic # [{ %x axis = 1 : tensor<?x4xf32>
    ```
  }];
  let arguments = (ins Tw_FloatTensor:$input, I64Attr:$axis);
  let results = (outs Tw_FloatTensor:$result);
  let assemblyFormat = "$input `axis` `=` $axis attr-dict `:` type($input)";
  let hasVerifier = 1;
  let extraClassDefinition = shapes # [{
    ::llvm::LogicalResult $cppClass::verify() {
      return common::verifyAxis(getOperation(), getInput().getType(), getAxis());
    }
  }];
}
def Tw_SoftmaxOp : Tw_SoftmaxLikeOp<"softmax", "Normalised exponential", "exp(x) / sum(exp(x))">;
def Tw_LogSoftmaxOp : Tw_SoftmaxLikeOp<"log_softmax", "Logarithm of softmax", "x - log(sum(exp(x)))">;

def Tw_LayerNormOp : Tw_CompositeLikeOp<"layer_norm", [AllTypesMatch<["input", "result"]>, AttrSizedOperandSegments]> {
  let summary = "Layer normalisation";
  let description = [{
    (x - mean) / sqrt(var + eps) over the last dimension, times `weight` plus `bias` where they are given. Half-precision
    floats are computed in f32.

    (c1) `input` has at least one dimension, and `result` has its type.
    (c2) `weight` and `bias` have one dimension, of the size of the last of `input`, and its element type.

    Example:
    ```mlir
    %r = tw.layer_norm %x weight %w : tensor<4xf32> bias %b : tensor<4xf32> {eps = 1.0e-05} : tensor<?x4xf32>
    ```
  }];
  let arguments = (ins Tw_FloatTensor:$input, Optional<Tw_FloatTensor>:$weight, Optional<Tw_FloatTensor>:$bias,
                       DefaultValuedAttr<F64Attr, "1.0e-5">:$eps);
  let results = (outs Tw_FloatTensor:$result);
  let assemblyFormat = [{
    $input (`weight` $weight^ `:` type($weight))? (`bias` $bias^ `:` type($bias))? attr-dict `:` type($input)
  }];
  let hasVerifier = 1;
}

def Tw_RmsNormOp : Tw_CompositeLikeOp<"rms_norm", [AllTypesMatch<["input", "result"]>]> {
  let summary = "Root mean square normalisation";
  let description = [{
    x / sqrt(mean(x * x) + eps) over the last dimension, times `weight`. Half-precision floats are computed in f32.

    (c1) `input` has at least one dimension, and `result` has its type.
    (c2) `weight` has one dimension, of the size of the last of `input`, and its element type.

    Example:
    ```mlir
    %r = tw.rms_norm %x, %w {eps = 1.0e-05} : tensor<?x4xf32>, tensor<4xf32>
    ```
  }];
  let arguments = (ins Tw_FloatTensor:$input, Tw_FloatTensor:$weight, DefaultValuedAttr<F64Attr, "1.0e-5">:$eps);
  let results = (outs Tw_FloatTensor:$result);
  let assemblyFormat = "$input `,` $weight attr-dict `:` type($input) `,` type($weight)";
  let hasVerifier = 1;
}

def Tw_RopeOp : Tw_StructuredOp<"rope", ["getLoopInputs", "getLoopMaps", "getLoopSize", "getLoopElementType",
      "finishLoopResult"], [AllTypesMatch<["input", "result"]>, AllTypesMatch<["cos", "sin"]>]> {
  let summary = "Rotary position embedding";
  let description = [{
    Rotates pairs of elements of the last dimension by the angles whose cosines and sines are given per position. Pairs are
    (i, i + D/2), or (2i, 2i + 1) if `interleaved`.

    (c1) `input` [..., S, D] has at least two dimensions, and D is static and even.
    (c2) `cos` and `sin` have one type, of shape [S, D/2].
    (c3) all element types are equal, and `result` has the type of `input`.

    Example:
    ```mlir
    %r = tw.rope %x, %c, %s {interleaved = false} : tensor<2x?x8xf32>, tensor<?x4xf32>
    ```
  }];
  let arguments = (ins Tw_FloatTensor:$input, Tw_FloatTensor:$cos, Tw_FloatTensor:$sin,
                       DefaultValuedAttr<BoolAttr, "false">:$interleaved);
  let results = (outs Tw_FloatTensor:$result);
  let assemblyFormat = "$input `,` $cos `,` $sin attr-dict `:` type($input) `,` type($cos)";
  let hasVerifier = 1;
  let extraClassDefinition = [{
    ::mlir::LogicalResult $cppClass::reifyResultShapes(::mlir::OpBuilder &builder,
                                                       ::mlir::ReifiedRankedShapedTypeDims &shapes) {
      return common::reifyLikeOperand(getOperation(), builder, 0, shapes);
    }
  }];
}

def Tw_AttentionOp : Tw_ValueOp<"attention",
    [InferTypeOpAdaptor, DeclareOpInterfaceMethods<Tw_CompositeOpInterface>]> {
  let summary = "Scaled dot-product attention";
  let description = [{
    softmax(scale * q kᵀ + mask) v. Heads of `q` share heads of `k` and `v` in groups of H / Hkv. With `causal`, key t is
    visible to query s if t <= s + T - S. Half-precision scores are kept in f32.

    (c1) `q` [B, H, S, D], `k` [B, Hkv, T, D] and `v` [B, Hkv, T, Dv] have rank 4 and one element type.
    (c2) B, D and T agree; H and Hkv are static, and Hkv divides H and agrees.
    (c3) `mask` has shape [B or 1, H or 1, S, T] and the element type of `q`, and is added to the scores.

    Example:
    ```mlir
    %r = tw.attention %q, %k, %v {causal = true, scale = 0.125}
       : tensor<1x4x?x64xf32>, tensor<1x2x?x64xf32>, tensor<1x2x?x64xf32> -> tensor<1x4x?x64xf32>
    ```
  }];
  let arguments = (ins Tw_FloatTensor:$q, Tw_FloatTensor:$k, Tw_FloatTensor:$v, Optional<Tw_FloatTensor>:$mask,
                       DefaultValuedAttr<BoolAttr, "false">:$causal, F64Attr:$scale);
  let results = (outs Tw_FloatTensor:$result);
  let assemblyFormat = [{
    $q `,` $k `,` $v (`mask` $mask^ `:` type($mask))? attr-dict `:` type($q) `,` type($k) `,` type($v) `->` type($result)
  }];
}

#endif // TW_NN_OPS_TD
