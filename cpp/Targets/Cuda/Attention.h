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
  /// A value that the body of an operation computes from an input, the score so far.
  struct Formula {
    mlir::linalg::LinalgOp op;
    unsigned input;
    mlir::Value wanted;
  };
  llvm::SmallVector<Formula> formulas; ///< of each score, in order
};

/// The attention that begins with the first of these computations, which follow each other; nothing where there is none, or
/// where tensor cores and 16-byte copies cannot do it.
std::optional<Attention> attentionOf(llvm::ArrayRef<mlir::linalg::LinalgOp> computations);

/// One kernel for all of it, launched before `anchor`, the last operation or its `epilogue`.
void emitAttention(const Attention &attention, mlir::Operation *anchor, mlir::OpOperand *epilogue,
                   mlir::gpu::GPUModuleOp device, llvm::StringRef name);

} // namespace tilewright::cuda

#endif // TILEWRIGHT_TARGETS_CUDA_ATTENTION_H
