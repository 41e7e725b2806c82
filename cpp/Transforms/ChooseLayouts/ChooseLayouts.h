//===- ChooseLayouts.h - Grouping and outlining -----------------*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_H
#define TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_H

#include "TwRt/TwRtDialect.h"
#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Transforms/ChooseLayouts/ChooseLayouts.h.inc"
} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_H
