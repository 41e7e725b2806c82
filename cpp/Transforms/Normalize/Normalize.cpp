//===- Normalize.cpp - Write composites out ---------------------------------===//
//
// In:  stage traced: the program as the user wrote it.
// Out: stage tensor: no composite but those that the target keeps; canonical forms.
// Here, while operations still say what they mean: below, a softmax is five loop nests.
//===----------------------------------------------------------------------===//
#include "Transforms/Normalize/Normalize.h"

#include "Tw/TwDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tilewright {
#define GEN_PASS_DEF_NORMALIZEPASS
#include "Transforms/Normalize/Normalize.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

struct NormalizePass : tilewright::impl::NormalizePassBase<NormalizePass> {
  using NormalizePassBase::NormalizePassBase;

  void runOnOperation() override {
    if (failed(decomposeAll()) || failed(simplify()))
      signalPassFailure();
  }

private:
  bool isKept(Operation *op) const { return llvm::is_contained(keep, op->getName().stripDialect()); }

  /// Formulas may contain composites themselves, so this runs until none is left.
  LogicalResult decomposeAll() {
    IRRewriter rewriter(&getContext());
    SmallVector<tw::CompositeOpInterface> work;
    auto collect = [&] {
      getOperation()->walk([&](tw::CompositeOpInterface op) {
        if (op.isComposite() && !isKept(op))
          work.push_back(op);
      });
      return !work.empty();
    };
    while (collect()) {
      for (tw::CompositeOpInterface op : work) {
        rewriter.setInsertionPoint(op);
        FailureOr<SmallVector<Value>> results = op.decompose(rewriter);
        if (failed(results))
          return op.emitOpError("cannot be decomposed");
        rewriter.replaceOp(op, *results);
        ++numDecomposed;
      }
      work.clear();
    }
    return success();
  }

  LogicalResult simplify() {
    MLIRContext *context = &getContext();
    RewritePatternSet patterns(context);
    for (RegisteredOperationName name : context->getRegisteredOperations())
      if (isa<tw::TwDialect, arith::ArithDialect>(name.getDialect()))
        name.getCanonicalizationPatterns(patterns, context);
    return applyPatternsGreedily(getOperation(), std::move(patterns));
  }
};
} // namespace
