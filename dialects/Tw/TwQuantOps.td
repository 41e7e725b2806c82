//===- TwQuantOps.td - Between stored integers and numbers ------*- tablegen -*-===//
#ifndef TW_QUANT_OPS_TD
#define TW_QUANT_OPS_TD

include "Tw/TwOpBase.td"

def Tw_DequantizeOp : Tw_StructuredOp<"dequantize", ["getLoopInputs", "getLoopMaps", "getLoopSize",
      "getLoopElementType", "finishLoopResult"]> {
  let summary = "Stored integers and scales as numbers";
  let description = [{
    Expands a quantised matrix [N, K]. `format` names the layout; G is K / 32 and q the stored integer:

    - `q4_0`: storage ui8 [N, G, 16] (byte j holds weights j, low, and j + 16, high), scales [N, G]; w = scale * (q - 8)
    - `q4_1`: as q4_0 with mins [N, G]; w = scale * q + min
    - `q5_0`: storage ui8 [N, G, 20] (16 bytes as q4_0, then a fifth bit per weight, in order), scales [N, G];
      w = scale * (q - 16)
    - `q5_1`: as q5_0 with mins [N, G]; w = scale * q + min
    - `q8_0`: storage i8 [N, G, 32], scales [N, G]; w = scale * q
    - `q4_k`: storage ui8 [N, G / 2, 32] (byte j of pair p holds weight j of groups 2p, low, and 2p + 1, high),
      scales and mins [N, G]; w = scale * q - min
    - `q5_k`: storage ui8 [N, G / 8, 160] (four pairs as q4_k, then 32 bytes: bit g of byte j is the fifth of weight j of
      group g), scales and mins [N, G]; w = scale * q - min
    - `q6_k`: storage ui8 [N, G / 4, 96] (byte j holds weight j, low, and j + 64, high; bits 2i and 2i + 1 of byte 64 + j
      are the fifth and sixth of weight 32i + j), scales [N, 2G]; w = scale * (q - 32)
    - `int8`: storage i8 [N, K]; `int4`: storage ui8 [N, K / 2] (low first, q in two's complement); scales [] (per tensor),
      [N] (per channel) or [N, K / group] (per group); `mins` are zero points; w = scale * (q - zero)

    (c1) `format` is one of these.
    (c2) the planes have the element types and shapes of the format.
    (c3) `mins` are given for q4_1, q5_1, q4_k and q5_k, may be for int8 and int4, and have the shape of `scales`.
    (c4) `result` is the matrix [N, K] of floats; K is static.
    (c5) the format's `group` divides K for int8 and int4 without a scale for each: so many neighbours are computed
      together, 0 for a whole row. It does not change a result.

    Example:
    ```mlir
    %r = tw.dequantize %s, %d format = #tw.format<name = "q4_0", group = 32>
       : (tensor<?x2x16xui8>, tensor<?x2xf16>) -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins Tw_IntTensor:$storage, Tw_NumTensor:$scales, Optional<Tw_NumTensor>:$mins, Tw_FormatAttr:$format);
  let results = (outs Tw_FloatTensor:$result);
  let assemblyFormat = [{
    $storage `,` $scales (`,` $mins^)? `format` `=` $format attr-dict `:` functional-type(operands, $result)
  }];
  let hasVerifier = 1;
  let extraClassDefinition = [{
    ::mlir::LogicalResult $cppClass::reifyResultShapes(::mlir::OpBuilder &builder,
                                                       ::mlir::ReifiedRankedShapedTypeDims &shapes) {
      auto &sizes = shapes.emplace_back();
      sizes.push_back(getType().isDynamicDim(0) ? common::dimSize(builder, getLoc(), getStorage(), 0)
                                                : builder.getIndexAttr(getType().getDimSize(0)));
      sizes.push_back(builder.getIndexAttr(getType().getDimSize(1)));
      return ::mlir::success();
    }
  }];
}

def Tw_QuantizeOp : Tw_ValueOp<"quantize", [DeclareOpInterfaceMethods<Tw_CompositeOpInterface>]> {
  let summary = "Numbers as stored integers and scales";
  let description = [{
    Quantises a matrix [N, K] to planes that `dequantize` reads, by the rounding of the format:

    - `q8_0`, `int8`, `int4`: scale = max|w| / m over its group, m = 127 or 7, q = round(w / scale), half to even; int8 and
      int4 per tensor, per channel or per group by the rank of `scales`, without zero points
    - `q4_0`: scale = w of largest |w| / -8, q = floor(w / scale + 8.5), at most 15
    - `q4_1`: min = min w, scale = (max w - min) / 15, q = floor((w - min) / scale + 0.5)

    In q4_0 and q4_1 it is the unrounded scale that divides, as in GGML; in the others the stored one.

    (c1) `format` is one of these.
    (c2) `input` has rank 2, and K is static.
    (c3) `storage` and `scales` have the types of the format.
    (c4) `mins` are given for q4_1 only, and have the type of `scales`.

    Example:
    ```mlir
    %q, %d = tw.quantize %x format = #tw.format<name = "q8_0", group = 32>
       : tensor<?x64xf32> -> tensor<?x2x32xi8>, tensor<?x2xf16>
    ```
  }];
  let arguments = (ins Tw_FloatTensor:$input, Tw_FormatAttr:$format);
  let results = (outs Tw_IntTensor:$storage, Tw_FloatTensor:$scales, Optional<Tw_FloatTensor>:$mins);
  let assemblyFormat = [{
    $input `format` `=` $format attr-dict `:` type($input) `->` type($storage) `,` type($scales) (`,` type($mins)^)?
  }];
  let hasVerifier = 1;
}

#endif // TW_QUANT_OPS_TD
