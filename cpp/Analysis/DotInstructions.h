//===- DotInstructions.h - What a target sums up at once --------*- C++ -*-===//
#ifndef TILEWRIGHT_ANALYSIS_DOTINSTRUCTIONS_H
#define TILEWRIGHT_ANALYSIS_DOTINSTRUCTIONS_H

#include "mlir/IR/BuiltinOps.h"

namespace tilewright {

/// Which forms of `rt.group_dot` the target of a module has.
struct DotInstructions {
  explicit DotInstructions(mlir::ModuleOp module);

  bool bf16 = false; ///< two bfloat16 in a word
  bool i8 = false;   ///< four bytes in a word, unsigned times signed
};

} // namespace tilewright

#endif // TILEWRIGHT_ANALYSIS_DOTINSTRUCTIONS_H
