//===- Legality.h - What each stage allows ----------------------*- C++ -*-===//
#ifndef TILEWRIGHT_STAGES_LEGALITY_H
#define TILEWRIGHT_STAGES_LEGALITY_H

#include "mlir/IR/Operation.h"

#include <optional>
#include <string>

namespace tilewright {

/// Returns the rule that `op` breaks at a stage, or nothing.
using StageRule = std::optional<std::string> (*)(mlir::Operation *op);

/// Returns the rule of the stage called `name`, or null for an unknown name.
StageRule findStageRule(llvm::StringRef name);

/// The names of all stages, in order.
llvm::ArrayRef<llvm::StringLiteral> stageNames();

} // namespace tilewright

#endif // TILEWRIGHT_STAGES_LEGALITY_H
