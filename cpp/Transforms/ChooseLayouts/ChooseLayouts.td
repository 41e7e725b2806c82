//===- ChooseLayouts.td - Pack what contractions read -----------*- tablegen -*-===//
#ifndef TW_TRANSFORMS_CHOOSELAYOUTS_TD
#define TW_TRANSFORMS_CHOOSELAYOUTS_TD

include "mlir/Pass/PassBase.td"

def ChooseLayoutsPass : Pass<"tw-choose-layouts", "::mlir::ModuleOp"> {
  let summary = "Pack what contractions read into panels";
  let description = [{
    The right-hand side of a contraction is read in panels of `panel` columns: element `[.., n, ..]` moves to
    `[n floordiv panel, .., n mod panel]`, so that a register tile reads adjacent vectors whatever the original layout was.

    Weights are packed once, in a function `@load_K` that the runtime calls when weights are bound; weights of equal type
    share one. Reshapes between a weight and its contraction are seen through. What picks elements of such a weight by
    number (an embedding) picks them from the panels, so that a tied table is bound once. Other operands are packed on the fly where many rows share them and they are not laid out well already.
    Products of bfloat16, or of signed bytes, become `rt.group_dot` where `#tw.target` says that the processor has it
    (`group_bf16`, `group_i8`): panels then hold 32-bit words of two or four neighbours along the summed dimension.
    Weights whose bytes hold several numbers each are packed in such words, too, where a register holds a float for each value of
    four bits (`vector_bits`): a word that is shifted needs no widening.
    A choice depends on the weight and the panel width only, so that all programs of a model agree on one layout.
  }];
  let options = [
    Option<"panel", "panel", "int64_t", /*default=*/"32", "Columns of a panel; 0 packs nothing">,
    Option<"minRows", "min-rows", "int64_t", /*default=*/"16", "Rows that pay for packing an operand at run time">
  ];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::func::FuncDialect", "::mlir::affine::AffineDialect",
                           "::tilewright::rt::TwRtDialect"];
}

#endif // TW_TRANSFORMS_CHOOSELAYOUTS_TD
