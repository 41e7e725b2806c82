//===- StoreBools.h - Booleans in memory are bytes -*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_STOREBOOLS_H
#define TILEWRIGHT_TRANSFORMS_STOREBOOLS_H

#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Transforms/StoreBools/StoreBools.h.inc"
} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_STOREBOOLS_H
