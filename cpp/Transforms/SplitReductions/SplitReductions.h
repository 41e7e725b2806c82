//===- SplitReductions.h - Long reductions in two steps -*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_SPLITREDUCTIONS_H
#define TILEWRIGHT_TRANSFORMS_SPLITREDUCTIONS_H

#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Transforms/SplitReductions/SplitReductions.h.inc"
} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_SPLITREDUCTIONS_H
