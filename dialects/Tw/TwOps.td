//===- TwOps.td - Operations of the tensor dialect --------------*- tablegen -*-===//
#ifndef TW_OPS_TD
#define TW_OPS_TD

include "mlir/IR/OpBase.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "Tw/TwDialect.td"
include "Tw/TwAttrs.td"

def Tw_AddOp : Op<Tw_Dialect, "add", [Pure, SameOperandsAndResultType]> {
  let summary = "Elementwise sum";
  let arguments = (ins AnyRankedTensor:$lhs, AnyRankedTensor:$rhs);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` type($result)";
}

#endif // TW_OPS_TD
