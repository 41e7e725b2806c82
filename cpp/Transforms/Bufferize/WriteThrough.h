//===- WriteThrough.h - Tiles are written where they lie --------*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_BUFFERIZE_WRITETHROUGH_H
#define TILEWRIGHT_TRANSFORMS_BUFFERIZE_WRITETHROUGH_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace tilewright {

/// Turns writes of vectors to slices that go back to where they came from into writes to the tensors themselves.
void writeThroughSlices(mlir::func::FuncOp func);

} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_BUFFERIZE_WRITETHROUGH_H
