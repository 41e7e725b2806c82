//===- GroupedDot.h - Products that are summed up in groups -----*- C++ -*-===//
//
//   out[m,n] += ext(a[m,k]) * ext(b[k,n])  ->  out[m,n] += group_dot(p[n floordiv 32, i, n mod 32],
//                                                                    word(a[m, 2 i], a[m, 2 i + 1]))
//
// with p the panels of words of b (Panels.h). One instruction computes `group_dot` and the addition for a vector of
// columns.
//===----------------------------------------------------------------------===//
#ifndef TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_GROUPEDDOT_H
#define TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_GROUPEDDOT_H

#include "Analysis/DotInstructions.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

#include <optional>

namespace tilewright {

/// A contraction that is nothing but a sum of products of small numbers.
struct GroupedDot {
  mlir::OpOperand *rows, *columns; ///< without and with the column loop
  unsigned depthLoop;              ///< the only reduction
};

std::optional<GroupedDot> matchGroupedDot(mlir::linalg::GenericOp op, unsigned columnLoop,
                                          DotInstructions instructions);

/// Replaces `op` by the grouped form; `words` are its columns in panels, read through `wordsMap`, in which the depth loop
/// counts words.
void emitGroupedDot(mlir::RewriterBase &rewriter, mlir::linalg::GenericOp op, GroupedDot dot, mlir::Value words,
                    mlir::AffineMap wordsMap);

} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_CHOOSELAYOUTS_GROUPEDDOT_H
