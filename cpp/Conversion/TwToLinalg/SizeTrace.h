//===- SizeTrace.h - Where the size of a dimension comes from ------*- C++ -*-===//
#ifndef TILEWRIGHT_CONVERSION_SIZETRACE_H
#define TILEWRIGHT_CONVERSION_SIZETRACE_H

#include "mlir/IR/Value.h"

namespace tilewright {

/// What is known about a size: a number, or the dimension `dim` of the tensor `source`, or (`dim` = -1) the index `source`.
struct Size {
  int64_t number = 1;
  mlir::Value source = {};
  int64_t dim = 0;
};

/// Follows a dimension of a tensor to where its size comes from, through operations that keep it. Builds nothing.
Size traceDim(mlir::Value tensor, int64_t dim);
/// The same for an index.
Size traceIndex(mlir::Value index);

} // namespace tilewright

#endif // TILEWRIGHT_CONVERSION_SIZETRACE_H
