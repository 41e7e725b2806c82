//===- MakeShapes.cpp - Derive output sizes from input sizes --------------===//
//
// In:  stage linalg: @main and the @load functions on tensors.
// Out: the same, and @shapes (for each @load_K, @load_K_shapes) that computes
// result sizes from argument sizes. Here, while every operation can still reify
// the sizes of its results; after outlining a call could not.
//===----------------------------------------------------------------------===//
#include "Transforms/MakeShapes/MakeShapes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/MemRef/Transforms/Transforms.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tilewright {
#define GEN_PASS_DEF_MAKESHAPESPASS
#include "Transforms/MakeShapes/MakeShapes.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

/// Loop-carried values keep their sizes, so a result of a loop is as large as
/// what it started from.
struct DimOfWhile : OpRewritePattern<tensor::DimOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(tensor::DimOp op,
                                PatternRewriter &rewriter) const override {
    auto loop = op.getSource().getDefiningOp<scf::WhileOp>();
    if (!loop)
      return rewriter.notifyMatchFailure(op, "not a size of a loop's result");
    unsigned index = cast<OpResult>(op.getSource()).getResultNumber();
    if (index >= loop.getInits().size() ||
        loop.getInits()[index].getType() != op.getSource().getType())
      return rewriter.notifyMatchFailure(op, "the loop carries another type");
    rewriter.modifyOpInPlace(
        op, [&] { op.getSourceMutable().assign(loop.getInits()[index]); });
    return success();
  }
};

/// Both branches yield equal sizes; the one that needs nothing from inside the
/// branch is read.
struct DimOfIf : OpRewritePattern<tensor::DimOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(tensor::DimOp op,
                                PatternRewriter &rewriter) const override {
    auto branch = op.getSource().getDefiningOp<scf::IfOp>();
    if (!branch)
      return rewriter.notifyMatchFailure(op, "not a size of a branch's result");
    unsigned index = cast<OpResult>(op.getSource()).getResultNumber();
    for (Block *block : {branch.thenBlock(), branch.elseBlock()}) {
      Value yielded = block->getTerminator()->getOperand(index);
      OpBuilder::InsertionGuard guard(rewriter);
      rewriter.setInsertionPoint(block->getTerminator());
      // Resolve inside the branch first; hoisting is left to the folds that
      // make the size an outer value.
      if (auto result = dyn_cast<OpResult>(yielded);
          result && result.getOwner()->getBlock() == block) {
        ReifiedRankedShapedTypeDims sizes;
        if (failed(reifyResultShapes(rewriter, result.getOwner(), sizes)))
          continue;
        std::optional<int64_t> position = op.getConstantIndex();
        if (!position)
          continue;
        OpFoldResult size = sizes[result.getResultNumber()][*position];
        if (auto value = dyn_cast<Value>(size)) {
          if (value.getParentBlock() == block)
            continue;
          rewriter.replaceOp(op, value);
          return success();
        }
        rewriter.setInsertionPoint(op);
        rewriter.replaceOpWithNewOp<arith::ConstantIndexOp>(
            op, *getConstantIntValue(size));
        return success();
      }
      rewriter.modifyOpInPlace(op,
                               [&] { op.getSourceMutable().assign(yielded); });
      return success();
    }
    return rewriter.notifyMatchFailure(op,
                                       "both branches compute the size inside");
  }
};

/// Removes what no size needs, innermost uses first; loops count as needed only
/// by their results here.
void eraseUnused(func::FuncOp function) {
  bool changed = true;
  while (changed) {
    changed = false;
    for (Operation &op : llvm::make_early_inc_range(
             llvm::reverse(function.getBody().front()))) {
      if (op.hasTrait<OpTrait::IsTerminator>() || !op.use_empty())
        continue;
      op.erase();
      changed = true;
    }
  }
}

LogicalResult makeShapes(func::FuncOp function, StringRef name) {
  MLIRContext *context = function.getContext();
  OpBuilder builder(function);
  auto shapes = cast<func::FuncOp>(builder.clone(*function));
  shapes.setSymName(name);
  shapes->removeAttr("tw.load");
  shapes->setAttr("tw.shapes", builder.getUnitAttr());
  Operation *terminator = shapes.getBody().front().getTerminator();
  builder.setInsertionPoint(terminator);
  SmallVector<Value> sizes;
  for (Value result : terminator->getOperands()) {
    auto type = cast<RankedTensorType>(result.getType());
    for (int64_t i = 0; i < type.getRank(); ++i)
      sizes.push_back(
          builder.createOrFold<tensor::DimOp>(terminator->getLoc(), result, i));
  }
  terminator->setOperands(sizes);
  SmallVector<Type> types(sizes.size(), builder.getIndexType());
  shapes.setType(FunctionType::get(context, shapes.getArgumentTypes(), types));
  shapes.setResAttrsAttr(nullptr);

  RewritePatternSet patterns(context);
  memref::populateResolveRankedShapedTypeResultDimsPatterns(patterns);
  patterns.add<DimOfWhile, DimOfIf>(context);
  tensor::DimOp::getCanonicalizationPatterns(patterns, context);
  tensor::EmptyOp::getCanonicalizationPatterns(patterns, context);
  scf::ForOp::getCanonicalizationPatterns(patterns, context);
  if (failed(applyPatternsGreedily(shapes, std::move(patterns))))
    return failure();
  eraseUnused(shapes);
  WalkResult result = shapes.walk([&](Operation *op) {
    bool computes = isa<linalg::LinalgOp>(op) || (isa<tensor::ExtractOp>(op));
    if (!computes)
      return WalkResult::advance();
    op->emitError("the size of an output depends on computed data; sizes must "
                  "follow from the input sizes");
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

struct MakeShapes : tilewright::impl::MakeShapesPassBase<MakeShapes> {
  void runOnOperation() override {
    SmallVector<func::FuncOp> functions(getOperation().getOps<func::FuncOp>());
    for (func::FuncOp function : functions) {
      if (function.isExternal() || function->hasAttr("tw.kernel") ||
          function->hasAttr("tw.shapes"))
        continue;
      bool isMain = function.getSymName() == "main";
      std::string name =
          isMain ? "shapes" : (function.getSymName() + "_shapes").str();
      if (failed(makeShapes(function, name)))
        return signalPassFailure();
    }
  }
};

} // namespace
