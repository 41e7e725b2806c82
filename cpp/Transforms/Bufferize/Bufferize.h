//===- Bufferize.h - Tensors become buffers -*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_BUFFERIZE_H
#define TILEWRIGHT_TRANSFORMS_BUFFERIZE_H

#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Transforms/Bufferize/Bufferize.h.inc"
} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_BUFFERIZE_H
