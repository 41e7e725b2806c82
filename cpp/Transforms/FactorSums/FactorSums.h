//===- FactorSums.h - Sums that all columns share are made once -*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_FACTORSUMS_H
#define TILEWRIGHT_TRANSFORMS_FACTORSUMS_H

#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Transforms/FactorSums/FactorSums.h.inc"
} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_FACTORSUMS_H
