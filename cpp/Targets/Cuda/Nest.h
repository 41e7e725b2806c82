//===- Nest.h - A computation as loops over elements of arrays -*- C++ -*-===//
#ifndef TILEWRIGHT_TARGETS_CUDA_NEST_H
#define TILEWRIGHT_TARGETS_CUDA_NEST_H

#include "Targets/Cuda/DeviceKernel.h"

#include "mlir/IR/IRMapping.h"

namespace tilewright::cuda {

/// A linalg operation seen from its kernel.
class Nest {
public:
  Nest(DeviceKernel &kernel, mlir::linalg::LinalgOp op);

  /// A destination starts from this host value instead of what lies in memory.
  void startFrom(unsigned init, mlir::Value value) { starts[init] = kernel.pass(value); }

  bool hasStart(unsigned init) const { return bool(starts[init]); }

  /// Sizes of loops, in host code.
  llvm::SmallVector<mlir::OpFoldResult> rangesOf(llvm::ArrayRef<unsigned> loops) const;
  /// The value of an operand at this point of the loops.
  mlir::Value read(mlir::OpOperand &operand, mlir::ValueRange point);
  /// What a destination holds before the computation.
  mlir::Value start(unsigned init, mlir::ValueRange point);
  void write(mlir::Value value, unsigned init, mlir::ValueRange point);
  /// Subscripts of an operand's element.
  llvm::SmallVector<mlir::Value> subscripts(mlir::OpOperand &operand, mlir::ValueRange point);
  /// Computes the body: one value per block argument in, the yielded values out.
  llvm::SmallVector<mlir::Value> compute(mlir::ValueRange arguments, mlir::ValueRange point);
  /// Clones the operations of the body that `wanted` depends on, and returns its copy. Arguments that it does not need
  /// may be null.
  mlir::Value computePart(mlir::Value wanted, mlir::ValueRange arguments, mlir::ValueRange point);
  /// Whether neighbours along a loop lie next to each other in an operand, whose rows are as long as the loop.
  bool isVectorAlong(mlir::OpOperand &operand, unsigned loop);
  /// The values of `lanes` neighbours along a loop; one value where all have the same.
  llvm::SmallVector<mlir::Value> readLanes(mlir::OpOperand &operand, mlir::ValueRange point, unsigned loop,
                                           int64_t lanes);
  /// Writes neighbours along a loop.
  void writeLanes(mlir::ValueRange values, unsigned init, mlir::ValueRange point, unsigned loop);
  /// `wanted` of the body, with what it depends on: arguments that `known` has no value for are read.
  mlir::Value computeFrom(mlir::Value wanted, mlir::ValueRange known, mlir::ValueRange point);
  /// The yielded values, computed from these values of the body; nothing else of it may be needed.
  llvm::SmallVector<mlir::Value> computeGiven(mlir::ValueRange known, mlir::ValueRange values);
  View view(mlir::OpOperand &operand) { return kernel.view(operand.get()); }
  /// Whether the body looks at what destination `init` holds.
  bool usesDestination(unsigned init);

  DeviceKernel &kernel;
  mlir::linalg::LinalgOp op;
  llvm::SmallVector<mlir::OpFoldResult> ranges;
  /// Loops in the order in which their product is numbered, so that neighbours write to neighbours.
  llvm::SmallVector<unsigned> parallel, reductions;

private:
  void clone(mlir::Operation &operation, mlir::IRMapping &map, mlir::ValueRange point);

  llvm::SmallVector<mlir::Value> starts;
};

/// One thread per result; all computations can be done so.
void emitPoints(Nest &nest);

/// Squares turned in shared memory, where inputs lie crosswise to the result; nothing is written where none does.
bool emitTransposed(Nest &nest);

/// A running total along rows of neighbours, `threads` threads per row; nothing is written where it is none, or where its order
/// matters.
bool emitRuns(Nest &nest, int64_t threads);

/// A product of two operands, tile by tile, with `epilogue` (or null) applied to what it yields; nothing is written where
/// it is no product.
bool emitProduct(Nest &nest, Nest *epilogue, unsigned epilogueInput, llvm::StringRef lowering);

/// The epilogue's loops that correspond to a place in the product's result.
llvm::SmallVector<mlir::Value> epiloguePoint(Nest &epilogue, unsigned input, mlir::ValueRange subscripts);

} // namespace tilewright::cuda

#endif // TILEWRIGHT_TARGETS_CUDA_NEST_H
