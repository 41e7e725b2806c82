//===- Rows.h - Computations that share their rows -*- C++ -*-===//
#ifndef TILEWRIGHT_TARGETS_CUDA_ROWS_H
#define TILEWRIGHT_TARGETS_CUDA_ROWS_H

#include "Targets/Cuda/DeviceKernel.h"

#include "llvm/ADT/DenseSet.h"

namespace tilewright::cuda {

/// What an array holds at some point of a group: what `op` wrote there, or what lay there before.
struct RowState {
  mlir::Value array;
  mlir::linalg::LinalgOp op;
  unsigned init = 0;
};

/// Computations in order, of which every row can be computed apart from all others: reductions along rows, and what is
/// computed of each element, or each row, between them.
struct RowGroup {
  llvm::SmallVector<mlir::linalg::LinalgOp> ops; ///< with the fills that they start from
  /// Loops and dimensions that run along each other form a class.
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<unsigned>> classes;
  llvm::SmallVector<unsigned> rows, columns; ///< outermost first
  llvm::SmallVector<RowState> states;
  llvm::DenseMap<mlir::OpOperand *, unsigned> before; ///< the state that an operand finds
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<unsigned>> after;
  llvm::SmallVector<unsigned> outputs; ///< states that somebody else reads

  /// Whether `op` computes a value per element of a row, not one per row.
  bool isWide(mlir::linalg::LinalgOp op) const;
  /// An operand's map with classes in the place of loops.
  mlir::AffineMap mapOf(mlir::OpOperand &operand) const;
};

/// The array that a window or another shape of it belongs to.
mlir::Value wholeOf(mlir::Value array);

/// Nothing where these operations are no such group.
std::optional<RowGroup> rowGroupOf(llvm::ArrayRef<mlir::linalg::LinalgOp> ops);

/// One kernel for all of a group, launched before its last operation: `threads` threads per row, which keep up to
/// `perThread` elements in registers, or read again what they need again (0).
void emitRows(const RowGroup &group, mlir::gpu::GPUModuleOp device, llvm::StringRef name, int64_t threads,
              int64_t perThread);

} // namespace tilewright::cuda

#endif // TILEWRIGHT_TARGETS_CUDA_ROWS_H
