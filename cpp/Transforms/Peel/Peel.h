//===- Peel.h - Split tile loops into whole tiles and a ---------*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_PEEL_H
#define TILEWRIGHT_TRANSFORMS_PEEL_H

#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Transforms/Peel/Peel.h.inc"
} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_PEEL_H
