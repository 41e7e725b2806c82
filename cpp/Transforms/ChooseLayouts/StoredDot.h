//===- StoredDot.h - Products of stored integers and rounded rows -*- C++ -*-===//
//
// A contraction of rows that were rounded to bytes with weights that are stored in at most eight bits adds up products
// of integers inside a group, and one instruction makes four of them:
//
//   acc[n] += (xs[g] * float(xq[g, k])) * s[n, g] * float(q[n, g, k])
// becomes
//   acc[n] += xs[g] * s[n, g] * float(dot4(q[n, g, 4 k ..], xq[g, 4 k ..]))
//
//===----------------------------------------------------------------------===//
#ifndef TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_STOREDDOT_H
#define TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_STOREDDOT_H

#include "Analysis/Products.h"
#include "Analysis/StoredBytes.h"
#include "Transforms/ChooseLayouts/GroupedDot.h"

namespace tilewright {

/// What matches: operands and values of the body.
struct StoredDot {
  mlir::OpOperand *row;
  /// The bytes that the integers are made of, and the maps that read their words.
  struct Storage {
    mlir::OpOperand *operand;
    mlir::AffineMap map;
    llvm::SmallVector<int64_t> place; ///< `BytesOfBits::place` where each step takes a bit, else nothing
  };
  llvm::SmallVector<Storage> storages;
  RoundedToBytes rounded;
  unsigned depthLoop;
  llvm::SmallVector<Product> products;
  unsigned product;   ///< which of them holds the integers
  mlir::Value number; ///< the converted integer of the column
};

std::optional<StoredDot> matchStoredDot(mlir::linalg::GenericOp op, unsigned columnLoop, DotInstructions instructions);

/// Replaces `op`; `words` are its storages in panels of words, each with the map that reads it. Returns what took its
/// place.
mlir::linalg::GenericOp emitStoredDot(mlir::RewriterBase &rewriter, mlir::linalg::GenericOp op, const StoredDot &dot,
                                      llvm::ArrayRef<std::pair<mlir::Value, mlir::AffineMap>> words);

} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_STOREDDOT_H
