//===- Vectorize.cpp - linalg on slices becomes loops of vectors
//------------===//
//
// In:  stage `tiled`: linalg ops on tensor slices inside loops, with
// #tw.config. Out: stage `vector`: scf.for, vector, arith and math on tensors;
// accumulators are vector iter_args. Why here: slices are final and static
// where it matters, and tensors still have value semantics, so what was written
// to a tile can be taken from its register, and one-shot bufferisation finds
// every write in place.
//
//   %c = linalg.generic {d0: 8, d1: 32, k}  ->   %acc:16 = scf.for %k
//   iter_args(16 x vector<16xf32>) {
//          ins(%a, %b) outs(%c0)                   2 x vector.transfer_read, 8
//          x tensor.extract, 16 x mulf + addf }
//                                                16 x vector.transfer_write
//===----------------------------------------------------------------------===//
#include "Transforms/Vectorize/Vectorize.h"
#include "Transforms/RewriteOnce.h"
#include "Transforms/Vectorize/Emitter.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Dominance.h"
#include "mlir/Transforms/CSE.h"
#include "mlir/Transforms/LoopInvariantCodeMotionUtils.h"

namespace tilewright {
#define GEN_PASS_DEF_VECTORIZEPASS
#include "Transforms/Vectorize/Vectorize.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

/// Tiling moves linalg.index by affine.apply; as sums the lane's index can be
/// followed through it.
static void expandIndexArithmetic(RewriterBase &rewriter, linalg::GenericOp op) {
  SmallVector<affine::AffineApplyOp> applies(op.getBody()->getOps<affine::AffineApplyOp>());
  for (affine::AffineApplyOp apply : applies) {
    OpBuilder::InsertionGuard guard(rewriter);
    rewriter.setInsertionPoint(apply);
    AffineMap map = apply.getAffineMap();
    ValueRange operands = apply.getMapOperands();
    Value sum = affine::expandAffineExpr(rewriter, apply.getLoc(), map.getResult(0),
                                         operands.take_front(map.getNumDims()), operands.drop_front(map.getNumDims()));
    rewriter.replaceOp(apply, sum);
  }
}

LogicalResult tilewright::vectorizeLinalgOp(RewriterBase &rewriter, linalg::LinalgOp op, tw::ConfigAttr config,
                                            std::string &reason) {
  // A generic form is made of a copy, so that a refusal leaves the op as it
  // was.
  auto generic = dyn_cast<linalg::GenericOp>(op.getOperation());
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPoint(op);
  linalg::LinalgOp copy;
  if (!generic) {
    copy = cast<linalg::LinalgOp>(rewriter.clone(*op));
    FailureOr<linalg::GenericOp> made = linalg::generalizeNamedOp(rewriter, copy);
    if (failed(made)) {
      rewriter.eraseOp(copy);
      reason = "it has no generic form";
      return failure();
    }
    generic = *made;
  }
  expandIndexArithmetic(rewriter, generic);
  FailureOr<vectorize::Nest> nest = vectorize::analyse(generic, config, reason);
  if (failed(nest)) {
    if (copy)
      rewriter.eraseOp(generic);
    return failure();
  }
  rewriter.setInsertionPoint(op);
  vectorize::Values results = vectorize::Emitter(rewriter, *nest).emit();
  if (copy)
    rewriter.eraseOp(generic);
  rewriter.replaceOp(op, results);
  return success();
}

namespace {

/// Moves values that do not change out of scf.for loops. Tensors stay where
/// they are: an empty tile that left its loop would be shared by the
/// iterations.
void hoistInvariants(func::FuncOp func) {
  func.walk([](scf::ForOp loop) {
    moveLoopInvariantCode(
        loop.getLoopRegions(), [&](Value v, Region *) { return loop.isDefinedOutsideOfLoop(v); },
        [](Operation *op, Region *) {
          bool makesTensor = llvm::any_of(op->getResultTypes(), [](Type t) { return isa<TensorType>(t); });
          return !makesTensor && op->getNumRegions() == 0 && isMemoryEffectFree(op) && isSpeculatable(op);
        },
        [&](Operation *op, Region *) { loop.moveOutOfLoop(op); });
  });
}

struct VectorizePass : tilewright::impl::VectorizePassBase<VectorizePass> {
  using VectorizePassBase::VectorizePassBase;

  void runOnOperation() override {
    func::FuncOp func = getOperation();
    IRRewriter rewriter(&getContext());
    DominanceInfo dominance(func);
    eliminateCommonSubExpressions(rewriter, dominance, func);

    // Consumers first: a reduction looks at the fill that makes its initial
    // value.
    SmallVector<linalg::LinalgOp> ops;
    func.walk([&](linalg::LinalgOp op) { ops.push_back(op); });
    bool changed = false;
    for (linalg::LinalgOp op : llvm::reverse(ops)) {
      if (op->use_empty() && op.hasPureTensorSemantics()) {
        rewriter.eraseOp(op);
        continue;
      }
      changed |= visit(rewriter, op);
    }
    if (changed && failed(cleanUp(rewriter, func)))
      signalPassFailure();
  }

private:
  bool visit(IRRewriter &rewriter, linalg::LinalgOp op) {
    auto config = op->getAttrOfType<tw::ConfigAttr>("tw.config");
    bool wanted = config && config.getLowering() == "vector";
    std::string reason;
    auto function = op->getParentOfType<func::FuncOp>();
    bool streams = op->hasAttr("tw.stream"), overlaps = op->hasAttr("tw.overlap");
    if (wanted && succeeded(vectorizeLinalgOp(rewriter, op, config, reason))) {
      // Buffers do not know which operation writes them: the function does.
      if (streams)
        function->setAttr("tw.stream", rewriter.getUnitAttr());
      if (overlaps)
        function->setAttr("tw.overlap", rewriter.getUnitAttr());
      ++numVectorized;
      return true;
    }
    if (wanted)
      op->emitRemark("tw-vectorize: left as loops: ") << reason;
    op->setAttr("tw.lowering", StringAttr::get(&getContext(), "loops"));
    ++numLeft;
    return false;
  }

  LogicalResult cleanUp(IRRewriter &rewriter, func::FuncOp func) {
    RewritePatternSet patterns(&getContext());
    int64_t forwarded = 0;
    populateForwardTensorReadPatterns(patterns, &forwarded);
    scf::ForOp::getCanonicalizationPatterns(patterns, &getContext());
    tensor::DimOp::getCanonicalizationPatterns(patterns, &getContext());
    vector::CreateMaskOp::getCanonicalizationPatterns(patterns, &getContext());
    rewriteOnce(func, std::move(patterns));
    numForwarded += forwarded;
    hoistInvariants(func);
    DominanceInfo dominance(func);
    eliminateCommonSubExpressions(rewriter, dominance, func);
    return success();
  }
};

} // namespace
