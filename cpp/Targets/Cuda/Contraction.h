//===- Contraction.h - What a product of two operands is made of -*- C++ -*-===//
#ifndef TILEWRIGHT_TARGETS_CUDA_CONTRACTION_H
#define TILEWRIGHT_TARGETS_CUDA_CONTRACTION_H

#include "Targets/Cuda/Cuda.h"

namespace tilewright::cuda {

/// A sum of products, whose factors are any formulas of inputs.
struct Contraction {
  mlir::linalg::LinalgOp op;
  mlir::Operation *sum, *multiply;
  /// The factors, values of the body: one varies along rows, the other along columns of the result.
  mlir::Value lhs, rhs;
  llvm::SmallVector<unsigned> batch, rows, columns, inner;
  /// f16, bf16 or int8 where both factors were widened from it, so that tensor cores compute the same products.
  mlir::Type narrow;
  /// The 8-bit float types that the factors were widened from, or nothing.
  mlir::Type lhsFloat8, rhsFloat8;
  /// Whether factors are f32 that may be rounded to TF32: only where the user asked for it.
  bool isTf32 = false;
};

/// Nothing where the operation is no such sum, or has no rows or columns.
std::optional<Contraction> contractionOf(mlir::linalg::LinalgOp op);

} // namespace tilewright::cuda

#endif // TILEWRIGHT_TARGETS_CUDA_CONTRACTION_H
