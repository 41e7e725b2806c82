//===- CarryBuffers.h - Loops carry values in fixed buffers -*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_CARRYBUFFERS_H
#define TILEWRIGHT_TRANSFORMS_CARRYBUFFERS_H

#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Transforms/CarryBuffers/CarryBuffers.h.inc"
} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_CARRYBUFFERS_H
