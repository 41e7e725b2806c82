//===- Attention.h - Two products with a softmax between them -*- C++ -*-===//
#ifndef TILEWRIGHT_TARGETS_CUDA_ATTENTION_H
#define TILEWRIGHT_TARGETS_CUDA_ATTENTION_H

#include "Targets/Cuda/Contraction.h"

namespace tilewright::cuda {

/// Rows of scores that become weights of rows of values: exp(f(q k) - max), divided by its sum, times v. `f` is any formula
/// of a score, of its place, and of other arrays (a scale, a mask).
struct Attention {
  llvm::SmallVector<mlir::linalg::LinalgOp> ops; ///< all of them, with the fills that they start from
  Contraction scores, values;
  mlir::linalg::LinalgOp queries; ///< what computes the queries element by element, or null
  /// A value that the body of an operation computes from an input, the score so far.
  struct Formula {
    mlir::linalg::LinalgOp op;
    unsigned input;
    mlir::Value wanted;
  };
  llvm::SmallVector<Formula> formulas; ///< of each score, in order
};

/// The attention that begins with the first of these computations, which follow each other; nothing where there is none, or
/// where 16-byte copies, or `onTensorCores` these, cannot do it.
std::optional<Attention> attentionOf(llvm::ArrayRef<mlir::linalg::LinalgOp> computations, bool onTensorCores);

/// Whether each line of an array begins at a multiple of 16 bytes: its own, or one of the array that it is a window of.
bool hasWholeLines(mlir::MemRefType type);

/// A factor without its conversion from a narrower type.
mlir::Value unwidened(mlir::Value factor);

/// One kernel for all of it, launched before `anchor`, the last operation or its `epilogue`.
void emitTensorAttention(const Attention &attention, mlir::Operation *anchor, mlir::OpOperand *epilogue,
                         mlir::gpu::GPUModuleOp device, llvm::StringRef name);

/// How warpgroups go along the keys: how many at a time, and how many such tiles are in shared memory.
struct WarpgroupAttentionTile {
  int64_t keys = 128, stages = 2;
};

/// The same by `wgmma`, for sm_90a: nothing is written, and the result is false, where factors are no plain dense arrays.
bool emitWarpgroupAttention(const Attention &attention, mlir::Operation *anchor, mlir::OpOperand *epilogue,
                            mlir::gpu::GPUModuleOp device, llvm::StringRef name, const WarpgroupAttentionTile &tile);

/// How warps share attention without tensor cores.
struct PlainTile {
  int64_t rows = 16, rowWarps = 4, keyWarps = 1; ///< rows of a warp; warps that differ by their rows, by their keys
  int64_t parts = 1, keys = 1;                   ///< blocks that share the keys of a row; keys of each, at least
};

/// The same by fused multiply-adds, in one kernel, or two where blocks share keys.
void emitPlainAttention(const Attention &attention, mlir::Operation *anchor, mlir::OpOperand *epilogue,
                        mlir::gpu::GPUModuleOp device, llvm::StringRef name, const PlainTile &tile);

} // namespace tilewright::cuda

#endif // TILEWRIGHT_TARGETS_CUDA_ATTENTION_H
