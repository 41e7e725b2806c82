//===- Panels.h - The layout that contractions read -------------*- C++ -*-===//
//
// A matrix in panels of 32 columns, and in panels of words:
//
//   [.., K, N]  ->  [N / 32, .., K, 32]            element [.., k, n] at [n / 32, .., k, n mod 32]
//   [.., K, N]  ->  [N / 32, .., K / 2, 32] words  a word holds elements 2 i and 2 i + 1 of K
//
// The last panel and the last word are padded with zeros.
//===----------------------------------------------------------------------===//
#ifndef TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_PANELS_H
#define TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_PANELS_H

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/PatternMatch.h"

#include <optional>

namespace tilewright {

/// Which dimensions of a tensor a packed layout changes.
struct Panels {
  unsigned column;               ///< cut into panels
  std::optional<unsigned> depth; ///< neighbours along it share a 32-bit word (`rt.group_dot`)

  bool operator==(const Panels &other) const { return column == other.column && depth == other.depth; }

  /// Where dimension `dim`, not the column, stands in the packed tensor.
  unsigned packedPosition(unsigned dim) const { return dim < column ? dim + 1 : dim; }
};

/// Elements of a type that share a word.
int64_t groupOf(mlir::Type element);

/// `items` as a packed tensor orders them: what belongs to the panel's number first, the others, what belongs to the
/// column.
template <typename T> llvm::SmallVector<T> panelOrder(llvm::ArrayRef<T> items, unsigned column, T number, T lane) {
  llvm::SmallVector<T> ordered{number};
  for (auto [i, item] : llvm::enumerate(items))
    if (i != column)
      ordered.push_back(item);
  ordered.push_back(lane);
  return ordered;
}

/// The type of a packed tensor.
mlir::RankedTensorType packedType(mlir::RankedTensorType type, Panels panels, int64_t width);

/// Emits the packing of `source`; null where upstream cannot lower it.
mlir::Value emitPack(mlir::RewriterBase &rewriter, mlir::Location loc, mlir::Value source, Panels panels,
                     int64_t width);

/// Does the same for a tensor of static shape. Of a large one only what fills no whole panel is padded: the rest is read once,
/// where it lies.
mlir::Value emitLargePack(mlir::RewriterBase &rewriter, mlir::Location loc, mlir::Value source, Panels panels,
                          int64_t width);

/// Pads `source` with zeros along `dim` to a multiple of `multiple`.
mlir::Value padToMultiple(mlir::RewriterBase &rewriter, mlir::Location loc, mlir::Value source, unsigned dim,
                          int64_t multiple);

/// Emits the word of a group of scalars, the first in the lowest bits. In an unsigned word bytes are offset by 128.
mlir::Value emitWord(mlir::OpBuilder &builder, mlir::Location loc, mlir::ValueRange group, bool isUnsigned);

/// Moves the bits of element number `at`, an index, of the group in an unsigned word to the lowest place; above them lie those
/// of its neighbours.
mlir::Value emitShifted(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value word, mlir::Value at,
                        mlir::Type element);

/// Emits the element number `at`, an index, of the group in an unsigned word: the inverse of `emitWord`.
mlir::Value emitElement(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value word, mlir::Value at,
                        mlir::Type element);

} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_PANELS_H
