//===- Products.h - What a loop nest adds up --------------------*- C++ -*-===//
//
// A contraction whose body holds dequantisation adds up products of several factors. Which loops each factor changes
// along decides what a sum over some of them may leave out.
//
//===----------------------------------------------------------------------===//
#ifndef TILEWRIGHT_ANALYSIS_PRODUCTS_H
#define TILEWRIGHT_ANALYSIS_PRODUCTS_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/ADT/SmallBitVector.h"

#include <optional>

namespace tilewright {

/// One product of a sum.
struct Product {
  llvm::SmallVector<mlir::Value> factors;
  bool negative = false;
};

/// `value` as a sum of products of floats: through additions, subtractions and multiplications.
llvm::SmallVector<Product> expandProducts(mlir::Value value);

/// What `op` adds to its only result at each step, or null if it does something else.
mlir::Value summandOf(mlir::linalg::GenericOp op);

/// Whether a factor is a stored integer that was converted.
bool isStoredInteger(mlir::Value factor);

/// The loops that each value of a body changes along.
class LoopsOf {
public:
  explicit LoopsOf(mlir::linalg::GenericOp op) : op(op) {}

  llvm::SmallBitVector operator()(mlir::Value value);

private:
  mlir::linalg::GenericOp op;
  llvm::DenseMap<mlir::Value, llvm::SmallBitVector> known;
};

/// The reduction loops that make up a group: those that some factor does not change along. None if there is no such
/// factor, or if no stored integer is read, so that the user's own products keep their order.
std::optional<llvm::SmallBitVector> groupLoops(mlir::linalg::GenericOp op, llvm::ArrayRef<Product> products,
                                               LoopsOf &loopsOf);

} // namespace tilewright

#endif // TILEWRIGHT_ANALYSIS_PRODUCTS_H
