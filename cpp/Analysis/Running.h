//===- Running.h - Running sums and products --------------------*- C++ -*-===//
//
// Tensors or buffers: the first result of a nest holds the total so far, the second the total of the whole loop.
//
//===----------------------------------------------------------------------===//
#ifndef TILEWRIGHT_ANALYSIS_RUNNING_H
#define TILEWRIGHT_ANALYSIS_RUNNING_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

#include <optional>

namespace tilewright {

/// A running sum or product: the first result holds the total so far at every trip of the reduction loop.
struct Running {
  mlir::Operation *combiner = nullptr; // yields the second result, the total
  mlir::Value term;                    // what it adds
  mlir::Operation *narrow = nullptr;   // turns the total into an element of the first result; null if it is one
};

/// The running total that `op` computes, if its results are nothing else.
std::optional<Running> matchRunning(mlir::linalg::LinalgOp op);

} // namespace tilewright

#endif // TILEWRIGHT_ANALYSIS_RUNNING_H
