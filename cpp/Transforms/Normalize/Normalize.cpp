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
    foldEmpty();
    if (failed(decomposeAll()) || failed(simplify()))
      return signalPassFailure();
    if (widenFactors() && failed(simplify()))
      return signalPassFailure();
    foldEmpty();
  }

private:
  static bool isEmpty(Value value) {
    auto type = dyn_cast<RankedTensorType>(value.getType());
    return type && type.hasStaticShape() && type.getNumElements() == 0;
  }

  /// A tensor that is known to have no elements needs no computation, and what adds nothing is left out. Slices of
  /// nothing could not even be written down below: they have no offset that lies inside.
  void foldEmpty() {
    IRRewriter rewriter(&getContext());
    SmallVector<Operation *> work;
    getOperation()->walk([&](Operation *op) {
      if (isa<tw::TwDialect>(op->getDialect()))
        work.push_back(op);
    });
    for (Operation *op : work) {
      rewriter.setInsertionPoint(op);
      if (op->getNumRegions() == 0 && op->getNumResults() == 1 && isEmpty(op->getResult(0)) && isPure(op)) {
        auto type = cast<RankedTensorType>(op->getResult(0).getType());
        rewriter.replaceOpWithNewOp<arith::ConstantOp>(op, DenseElementsAttr::get(type, ArrayRef<Attribute>()));
      } else if (auto update = dyn_cast<tw::UpdateSliceOp>(op); update && isEmpty(update.getUpdate())) {
        rewriter.replaceOp(op, update.getInput());
      } else if (auto scatter = dyn_cast<tw::ScatterOp>(op); scatter && isEmpty(scatter.getIndices())) {
        rewriter.replaceOp(op, scatter.getInput());
      } else if (auto concat = dyn_cast<tw::ConcatOp>(op)) {
        SmallVector<Value> parts(llvm::make_filter_range(concat.getInputs(), [](Value v) { return !isEmpty(v); }));
        if (!parts.empty() && parts.size() != concat.getInputs().size())
          rewriter.modifyOpInPlace(op, [&] { concat.getInputsMutable().assign(parts); });
      }
    }
  }

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

  /// Products of 8-bit floats, where the target does not multiply these themselves: their values are those of bfloat16,
  /// all of them, and each is converted once instead of once per product.
  bool widenFactors() {
    bool changed = false;
    IRRewriter rewriter(&getContext());
    SmallVector<tw::DotGeneralOp> work;
    getOperation()->walk([&](tw::DotGeneralOp op) { work.push_back(op); });
    for (tw::DotGeneralOp op : work) {
      auto isFloat8 = [](Value value) {
        return isa<Float8E4M3FNType, Float8E5M2Type>(cast<RankedTensorType>(value.getType()).getElementType());
      };
      if (!isFloat8(op.getLhs()) || multipliesFloat8(op))
        continue;
      rewriter.setInsertionPoint(op);
      auto widened = [&](Value value) -> Value {
        auto type = cast<RankedTensorType>(value.getType()).clone(rewriter.getBF16Type());
        return tw::CastOp::create(rewriter, op.getLoc(), type, value);
      };
      Value lhs = widened(op.getLhs()), rhs = widened(op.getRhs());
      rewriter.modifyOpInPlace(op, [&] {
        op.getLhsMutable().assign(lhs);
        op.getRhsMutable().assign(rhs);
      });
      changed = true;
    }
    return changed;
  }

  /// Whether the target has instructions (the fact `float8_products`) that take these factors as they lie in memory: rows
  /// along the sum, of whole 16 bytes.
  bool multipliesFloat8(tw::DotGeneralOp op) {
    auto module =
        isa<ModuleOp>(getOperation()) ? cast<ModuleOp>(getOperation()) : getOperation()->getParentOfType<ModuleOp>();
    auto target = module->getAttrOfType<tw::TargetAttr>("tw.target");
    if (!target || !target.getFacts().getAs<IntegerAttr>("float8_products"))
      return false;
    auto isAlong = [](Value value, ArrayRef<int64_t> contracted) {
      if (contracted.size() != 1)
        return false;
      int64_t dim = contracted.front();
      // Transpositions become part of the product later.
      for (auto turned = value.getDefiningOp<tw::TransposeOp>(); turned;
           turned = value.getDefiningOp<tw::TransposeOp>()) {
        dim = turned.getPermutation()[dim];
        value = turned.getInput();
      }
      auto type = cast<RankedTensorType>(value.getType());
      return dim == type.getRank() - 1 && !type.isDynamicDim(dim) && type.getDimSize(dim) % 16 == 0;
    };
    return isAlong(op.getLhs(), op.getLhsContract()) && isAlong(op.getRhs(), op.getRhsContract());
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
