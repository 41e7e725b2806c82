//===- ScaleProducts.h - Normalise what a product made ----------*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_SCALEPRODUCTS_H
#define TILEWRIGHT_TRANSFORMS_SCALEPRODUCTS_H

#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Transforms/ScaleProducts/ScaleProducts.h.inc"
} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_SCALEPRODUCTS_H
