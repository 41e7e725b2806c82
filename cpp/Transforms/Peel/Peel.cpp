//===- Peel.cpp - Split tile loops into whole tiles and a remainder ------------===//
//
// In:  scf.for loops tagged tw.peel whose last trip may cover less than a tile.
// Out: a main loop whose tiles all have the full, static size, and a remainder of at most one trip.
// Here, between tiling and vectorisation: the vectoriser reads static sizes as "no mask needed".
//
//   for %i = 0 to %n step 8 { min(8, %n - %i) }   ->   for %i = 0 to %n - %n mod 8 step 8 { 8 }  for (rest) { %n - %i }
//===----------------------------------------------------------------------===//
#include "Transforms/Peel/Peel.h"
#include "Transforms/Peel/KnownDivisor.h"

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
      scf::ForOp remainder;
      rewriter.setInsertionPoint(loop);
      // A loop that divides evenly has nothing to split; that is the good case and no failure.
      LogicalResult peeled = scf::peelForLoopAndSimplifyBounds(rewriter, loop, remainder);
      if (succeeded(peeled) && evenly)
        rewriter.replaceOp(remainder, remainder.getInitArgs());
    }
  }
};

} // namespace
