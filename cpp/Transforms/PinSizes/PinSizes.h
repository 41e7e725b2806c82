//===- PinSizes.h - Make sizes of one possible value static ---*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_PINSIZES_H
#define TILEWRIGHT_TRANSFORMS_PINSIZES_H

#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Transforms/PinSizes/PinSizes.h.inc"
} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_PINSIZES_H
