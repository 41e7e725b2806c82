//===- Vectorize.h - linalg on slices becomes loops of vectors ---*- C++
//-*-===//
#ifndef TILEWRIGHT_TRANSFORMS_VECTORIZE_VECTORIZE_H
#define TILEWRIGHT_TRANSFORMS_VECTORIZE_VECTORIZE_H

#include "Tw/TwDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Pass/Pass.h"

#include <string>

namespace tilewright {

#define GEN_PASS_DECL_VECTORIZEPASS
#define GEN_PASS_REGISTRATION
#include "Transforms/Vectorize/Vectorize.h.inc"

/// Replaces one linalg op by vector code according to `config`. On failure the
/// IR is unchanged and `reason` says why.
mlir::LogicalResult vectorizeLinalgOp(mlir::RewriterBase &rewriter, mlir::linalg::LinalgOp op, tw::ConfigAttr config,
                                      std::string &reason);

/// Adds the patterns that take a value which was just written to a tensor from
/// its register. `numForwarded` counts them.
void populateForwardTensorReadPatterns(mlir::RewritePatternSet &patterns, int64_t *numForwarded = nullptr);

} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_VECTORIZE_VECTORIZE_H
