//===- VerifyStage.h - Check a stage's promise ------------------*- C++ -*-===//
#ifndef TILEWRIGHT_STAGES_VERIFYSTAGE_H
#define TILEWRIGHT_STAGES_VERIFYSTAGE_H

#include "mlir/Pass/Pass.h"

namespace tilewright {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "Stages/VerifyStage.h.inc"
} // namespace tilewright

#endif // TILEWRIGHT_STAGES_VERIFYSTAGE_H
