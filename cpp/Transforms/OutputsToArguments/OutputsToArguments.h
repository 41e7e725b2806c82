//===- OutputsToArguments.h - Returned buffers become arguments -*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_OUTPUTSTOARGUMENTS_H
#define TILEWRIGHT_TRANSFORMS_OUTPUTSTOARGUMENTS_H

#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Transforms/OutputsToArguments/OutputsToArguments.h.inc"
} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_OUTPUTSTOARGUMENTS_H
