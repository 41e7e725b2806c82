//===- FuseElementwise.h - Fuse elementwise chains into their ---*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_FUSEELEMENTWISE_H
#define TILEWRIGHT_TRANSFORMS_FUSEELEMENTWISE_H

#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Transforms/FuseElementwise/FuseElementwise.h.inc"
} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_FUSEELEMENTWISE_H
