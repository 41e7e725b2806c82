//===- ExpandFloat8.h - Conversions of 8-bit floats in software -*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_EXPANDFLOAT8_H
#define TILEWRIGHT_TRANSFORMS_EXPANDFLOAT8_H

#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Transforms/ExpandFloat8/ExpandFloat8.h.inc"
} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_EXPANDFLOAT8_H
