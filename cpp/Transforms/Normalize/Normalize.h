//===- Normalize.h - Write composites out --------------------------*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_NORMALIZE_H
#define TILEWRIGHT_TRANSFORMS_NORMALIZE_H

#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Transforms/Normalize/Normalize.h.inc"
} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_NORMALIZE_H
