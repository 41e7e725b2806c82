//===- Dots.h - Products whose few rows stay in registers -*- C++ -*-===//
#ifndef TILEWRIGHT_TARGETS_CUDA_DOTS_H
#define TILEWRIGHT_TARGETS_CUDA_DOTS_H

#include "Targets/Cuda/Contraction.h"
#include "Targets/Cuda/Nest.h"

namespace tilewright::cuda {

/// How select splits such a product (`tw.tile`).
struct DotShape {
  int64_t threads; ///< that share a row of weights, whole warps
  int64_t sets;    ///< of so many threads in a block, each with rows of its own
  int64_t columns; ///< rows of weights that a thread has under way
  int64_t groups;  ///< of so many, one after the other
  int64_t lanes;   ///< stored elements that a thread reads at once
  int64_t turns;   ///< units whose other factor a thread keeps in registers
};

/// Nothing where select chose no such numbers.
std::optional<DotShape> dotShapeOf(mlir::linalg::LinalgOp op);

/// What a thread reads of an operand for some elements: where each lies, counted from the first, and the blocks of `width`
/// neighbours that hold them all.
struct BlockedRead {
  mlir::OpOperand *operand;
  int64_t width;
  llvm::SmallVector<int64_t> offsets, blocks;
  /// From a row of weights to the next.
  int64_t rowStep = 0;
};

/// One product of a sum, without the factors of the few rows: what differs between the elements of a unit, and what does not.
struct DotTerm {
  llvm::SmallVector<mlir::Value> inside, outside;
  bool negative;
};

/// A product of few rows with many rows of weights that lie along the depth. A unit is what a thread takes at once:
/// neighbours in storage, and all that is stored in the same bytes.
struct Dots {
  Contraction contraction;
  bool columnsAreMany;
  mlir::Value few; ///< the factor that stays in registers
  llvm::SmallVector<DotTerm> terms;
  llvm::SmallVector<unsigned> unitLoops; ///< with the sizes of a unit along them, a power of two each
  llvm::SmallVector<int64_t> unitSizes;
  /// What a unit's number counts along, outermost first: sizes in units.
  llvm::SmallVector<unsigned> stepLoops;
  llvm::SmallVector<int64_t> stepSizes;
  llvm::SmallVector<BlockedRead> weights; ///< per unit
  llvm::SmallVector<BlockedRead> others;  ///< per four elements of a unit, for the few rows

  int64_t elements() const; ///< of a unit
  int64_t units() const;    ///< of the depth
  /// Where an element of a unit stands, per loop of the operation.
  llvm::SmallVector<int64_t> place(int64_t element) const;
};

/// Nothing where rows of weights are of unknown length, do not lie along the depth, or do not consist of whole units.
std::optional<Dots> dotsOf(mlir::linalg::LinalgOp op, int64_t lanes);

/// One kernel: what `dotsOf` found, with the epilogue (or null) applied to it.
void emitDots(const Dots &dots, const DotShape &shape, Nest &nest, Nest *epilogue, unsigned epilogueInput);

} // namespace tilewright::cuda

#endif // TILEWRIGHT_TARGETS_CUDA_DOTS_H
