//===- Grouping.h - Which computations share a kernel -----------*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_FORMKERNELS_GROUPING_H
#define TILEWRIGHT_TRANSFORMS_FORMKERNELS_GROUPING_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace tilewright {

/// The computations of one kernel, the root first, producers after their
/// consumers.
struct KernelGroup {
  mlir::linalg::LinalgOp root;
  llvm::SmallVector<mlir::linalg::LinalgOp> ops;
  /// The root's loops that can be tiled with every member computed once.
  llvm::SmallVector<int64_t> parallel;
};

/// Splits the linalg operations of `block` into groups; fills are left out,
/// they are cloned into their users' kernels.
llvm::SmallVector<KernelGroup> formGroups(mlir::Block &block);

} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_FORMKERNELS_GROUPING_H
