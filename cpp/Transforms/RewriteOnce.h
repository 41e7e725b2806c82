//===- RewriteOnce.h - Patterns without a second look -------------*- C++ -*-===//
#ifndef TILEWRIGHT_TRANSFORMS_REWRITEONCE_H
#define TILEWRIGHT_TRANSFORMS_REWRITEONCE_H

#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tilewright {

/// Applies patterns until no operation that they or their neighbours touched has another match. Upstream's driver then
/// begins again with all operations, to confirm that nothing is left: half of its time.
inline void rewriteOnce(mlir::Operation *op, mlir::RewritePatternSet &&patterns) {
  mlir::GreedyRewriteConfig config;
  config.setMaxIterations(1);
  // Its failure says that it was not asked to confirm.
  (void)mlir::applyPatternsGreedily(op, std::move(patterns), config);
}

} // namespace tilewright

#endif // TILEWRIGHT_TRANSFORMS_REWRITEONCE_H
