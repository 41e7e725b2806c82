//===- Combine.h - Partial results of several threads become one -*- C++ -*-===//
#ifndef TILEWRIGHT_TARGETS_CUDA_COMBINE_H
#define TILEWRIGHT_TARGETS_CUDA_COMBINE_H

#include "Targets/Cuda/DeviceKernel.h"

namespace tilewright::cuda {

/// How partial results are combined: an operation on two of them, and what changes nothing.
struct Combiner {
  mlir::Operation *op;
  mlir::TypedAttr neutral;
  /// What makes a byte of the result, where bools are combined that lie in memory as bytes; else null.
  mlir::Operation *widen = nullptr;

  mlir::Value combine(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value a, mlir::Value b) const;
};

/// Nothing where the order of a reduction matters, or the body looks at what it has so far.
std::optional<Combiner> combinerOf(mlir::linalg::LinalgOp op);

/// For a reduction that keeps one element of all, with what belongs to it (its place): the values of the body that stand for
/// the element, one per destination. Nothing where the body does anything else.
std::optional<llvm::SmallVector<mlir::Value>> choiceOf(mlir::linalg::LinalgOp op);

/// Combines the partial results of two threads, some values each.
using CombineAll = llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::ValueRange, mlir::ValueRange)>;

/// The value of the lane whose number differs in the bits of `mask`.
mlir::Value exchange(DeviceKernel &kernel, mlir::Value value, int64_t mask);

/// The value of the lane so many numbers below; the first lanes get their own.
mlir::Value fromBelow(DeviceKernel &kernel, mlir::Value value, int64_t distance);

/// The value of the lane with this number (an index below 32).
mlir::Value fromLane(DeviceKernel &kernel, mlir::Value value, mlir::Value lane);

/// Combines what `lanes` neighbouring lanes of a warp have (a power of two); each of them gets the result.
llvm::SmallVector<mlir::Value> acrossLanes(DeviceKernel &kernel, CombineAll combine, mlir::ValueRange values,
                                           int64_t lanes);

/// The same for all `threads` threads of a block (whole warps, a power of two).
llvm::SmallVector<mlir::Value> acrossBlock(DeviceKernel &kernel, CombineAll combine, mlir::ValueRange values,
                                           int64_t threads);

/// Combines the values of `lanes` neighbouring lanes of a warp (a power of two); each of them gets the result.
mlir::Value acrossLanes(DeviceKernel &kernel, const Combiner &combiner, mlir::Value value, int64_t lanes);

/// Combines each of some values (at most 32) across a warp. Every lane gets one of them, and its number: that of the lane
/// divided by how many lanes share one. Numbers beyond the last are of no value.
std::pair<mlir::Value, mlir::Value> acrossLanesEach(DeviceKernel &kernel,
                                                    llvm::function_ref<mlir::Value(mlir::Value, mlir::Value)> combine,
                                                    mlir::ValueRange values);

/// Combines the values of all `threads` threads of a block (whole warps, a power of two); each of them gets the result.
mlir::Value acrossBlock(DeviceKernel &kernel, const Combiner &combiner, mlir::Value value, int64_t threads);

} // namespace tilewright::cuda

#endif // TILEWRIGHT_TARGETS_CUDA_COMBINE_H
