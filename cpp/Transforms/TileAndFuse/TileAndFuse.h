//===- TileAndFuse.h - Tile kernels as their configs say --------*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_TILEANDFUSE_H
#define TILEWRIGHT_TRANSFORMS_TILEANDFUSE_H

#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Transforms/TileAndFuse/TileAndFuse.h.inc"
} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_TILEANDFUSE_H
