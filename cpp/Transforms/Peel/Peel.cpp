//===- Peel.cpp - Split tile loops into whole tiles and a remainder ------------===//
//
// In:  scf.for loops tagged tw.peel whose last trip may cover less than a tile.
// Out: a main loop whose tiles all have the full, static size, and a remainder of at most one trip.
// Here, between tiling and vectorisation: the vectoriser reads static sizes as "no mask needed".
//
//   for %i = 0 to %n step 8 { min(8, %n - %i) }   ->   for %i = 0 to %n - %n mod 8 step 8 { 8 }  for (rest) { %n - %i }
//
// Where the rest is one known number or nothing, its size is that number: 1000 rows in groups of 168 have groups without a
// rest of 12, and one with a rest of 4. So the rest's accumulators are registers like those of whole tiles.
//===----------------------------------------------------------------------===//
#include "Transforms/Peel/Peel.h"
#include "Transforms/Peel/KnownDivisor.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SCF/Transforms/Transforms.h"

namespace tilewright {
#define GEN_PASS_DEF_PEELPASS
#include "Transforms/Peel/Peel.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

/// Gives the tile of a remainder its size where that is known.
void fixRemainder(IRRewriter &rewriter, scf::ForOp remainder, int64_t size) {
  Value end = remainder.getUpperBound(), begin = remainder.getInductionVar();
  AffineExpr d0 = rewriter.getAffineDimExpr(0), d1 = rewriter.getAffineDimExpr(1);
  SmallVector<affine::AffineApplyOp> sizes;
  remainder.walk([&](affine::AffineApplyOp apply) {
    SmallVector<Value> operands(apply.getMapOperands());
    AffineMap map = apply.getAffineMap();
    if (operands.size() != 2 || !llvm::is_contained(operands, end) || !llvm::is_contained(operands, begin))
      return;
    // The same formula, with the end first.
    AffineExpr first = operands[0] == end ? d0 : d1, second = operands[0] == end ? d1 : d0;
    SmallVector<AffineExpr> all{first, second};
    ArrayRef<AffineExpr> dims = ArrayRef(all).take_front(map.getNumDims());
    AffineExpr rest = map.replaceDimsAndSymbols(dims, ArrayRef(all).drop_front(dims.size()), 2, 0).getResult(0);
    if (simplifyAffineExpr(rest - (d0 - d1), 2, 0) == 0)
      sizes.push_back(apply);
  });
  for (affine::AffineApplyOp apply : sizes) {
    rewriter.setInsertionPoint(apply);
    rewriter.replaceOp(apply, arith::ConstantIndexOp::create(rewriter, apply.getLoc(), size));
  }
}

struct Peel : tilewright::impl::PeelPassBase<Peel> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    MLIRContext *context = &getContext();
    IRRewriter rewriter(context);
    // Innermost first: the outer remainder then holds a copy of inner loops that are already split.
    SmallVector<scf::ForOp> loops;
    function.walk<WalkOrder::PostOrder>([&](scf::ForOp loop) {
      if (loop->hasAttr("tw.peel"))
        loops.push_back(loop);
    });
    for (scf::ForOp loop : loops) {
      loop->removeAttr("tw.peel");
      bool evenly = dividesEvenly(loop);
      std::optional<int64_t> rest = knownRemainder(loop);
      scf::ForOp remainder;
      rewriter.setInsertionPoint(loop);
      // A loop that divides evenly has nothing to split; that is the good case and no failure.
      LogicalResult peeled = scf::peelForLoopAndSimplifyBounds(rewriter, loop, remainder);
      if (succeeded(peeled) && evenly)
        rewriter.replaceOp(remainder, remainder.getInitArgs());
      else if (succeeded(peeled) && rest && *rest > 0)
        fixRemainder(rewriter, remainder, *rest);
    }
  }
};

} // namespace
