//===- TwOps.td - Operations of the tensor dialect --------------*- tablegen -*-===//
#ifndef TW_OPS_TD
#define TW_OPS_TD

include "Tw/TwElementwiseOps.td"
include "Tw/TwReduceOps.td"
include "Tw/TwShapeOps.td"
include "Tw/TwContractOps.td"
include "Tw/TwNnOps.td"
include "Tw/TwQuantOps.td"
include "Tw/TwControlOps.td"

#endif // TW_OPS_TD
