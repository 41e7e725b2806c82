//===- MakeShapes.h - Derive output sizes from input sizes ------*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_MAKESHAPES_H
#define TILEWRIGHT_TRANSFORMS_MAKESHAPES_H

#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Transforms/MakeShapes/MakeShapes.h.inc"
} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_MAKESHAPES_H
