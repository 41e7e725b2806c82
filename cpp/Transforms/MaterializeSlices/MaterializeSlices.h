//===- MaterializeSlices.h - Write slices straight to where -----*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_MATERIALIZESLICES_H
#define TILEWRIGHT_TRANSFORMS_MATERIALIZESLICES_H

#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Transforms/MaterializeSlices/MaterializeSlices.h.inc"
} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_MATERIALIZESLICES_H
