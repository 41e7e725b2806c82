//===- TileAndFuse.cpp - Tile kernels as their configs say ----------------===//
//
// In:  stage kernels, after select: every linalg operation of a kernel carries
// #tw.config, the root with workgroup tiles. Out: stage tiled: scf.forall over
// workgroup tiles, scf.for (tagged tw.peel) over register tiles, slices inside.
// Here and nowhere else loops are made from tile sizes; the sizes themselves
// are select's business.
//
//   %r = generic(%x) {workgroup [64,256], tile [8,32]}   ->   forall (64,256) {
//   for (8,32) { %t = generic(slice %x) } }
//===----------------------------------------------------------------------===//
#include "Transforms/TileAndFuse/TileAndFuse.h"

#include "Tw/TwDialect.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SCF/Transforms/TileUsingInterface.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tensor/Transforms/Transforms.h"
#include "mlir/IR/Dominance.h"
#include "mlir/IR/Iterators.h"
#include "mlir/Transforms/CSE.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tilewright {
#define GEN_PASS_DEF_TILEANDFUSEPASS
#include "Transforms/TileAndFuse/TileAndFuse.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

constexpr llvm::StringLiteral kConfig = "tw.config";
constexpr llvm::StringLiteral kTiled = "tw.tiled";

tw::ConfigAttr configOf(Operation *op) { return op->getAttrOfType<tw::ConfigAttr>(kConfig); }

bool anyTile(ArrayRef<int64_t> sizes) {
  return llvm::any_of(sizes, [](int64_t size) { return size != 0; });
}

SmallVector<OpFoldResult> asTileSizes(Builder &builder, ArrayRef<int64_t> sizes) {
  return llvm::map_to_vector(sizes, [&](int64_t size) -> OpFoldResult { return builder.getIndexAttr(size); });
}

/// True if `map` ends in a column's place in its panel.
bool readsPanels(AffineMap map) {
  if (map.getNumResults() == 0)
    return false;
  auto lane = dyn_cast<AffineBinaryOpExpr>(map.getResults().back());
  return lane && lane.getKind() == AffineExprKind::Mod;
}

/// True if some operation reads `value` in panels.
bool isReadInPanels(Value value) {
  return llvm::any_of(value.getUses(), [](OpOperand &use) {
    auto op = dyn_cast<linalg::LinalgOp>(use.getOwner());
    return op && readsPanels(op.getMatchingIndexingMap(&use));
  });
}

/// Tiles `op` and fuses the producers that `fuse` admits; returns the tiled
/// root.
FailureOr<Operation *> tileAndFuse(IRRewriter &rewriter, TilingInterface op, ArrayRef<int64_t> sizes, bool parallel,
                                   llvm::function_ref<bool(Operation *)> fuse) {
  rewriter.setInsertionPoint(op);
  scf::SCFTileAndFuseOptions options;
  options.tilingOptions.setTileSizes(asTileSizes(rewriter, sizes));
  options.tilingOptions.setLoopType(parallel ? scf::SCFTilingOptions::LoopType::ForallOp
                                             : scf::SCFTilingOptions::LoopType::ForOp);
  options.setFusionControlFn([&](tensor::ExtractSliceOp, OpResult producer,
                                 bool) -> std::optional<scf::SCFTileAndFuseOptions::ControlFnResult> {
    // Panels that are made in the kernel follow once their slices are whole.
    if (!fuse(producer.getOwner()) || (parallel && isReadInPanels(producer)))
      return std::nullopt;
    return scf::SCFTileAndFuseOptions::ControlFnResult{};
  });
  FailureOr<scf::SCFTileAndFuseResult> result = scf::tileConsumerAndFuseProducersUsingSCF(rewriter, op, options);
  if (failed(result))
    return failure();
  for (LoopLikeOpInterface loop : result->loops)
    if (isa<scf::ForOp>(loop.getOperation()))
      loop->setAttr("tw.peel", rewriter.getUnitAttr());
  Operation *tiledRoot = result->tiledAndFusedOps.front();
  for (auto [old, replacement] : result->replacements)
    rewriter.replaceAllUsesWith(old, replacement);
  return tiledRoot;
}

/// The producers of `root` that have no tiles of their own and serve nobody
/// else.
llvm::SmallPtrSet<Operation *, 8> producersWithoutTiles(Operation *root) {
  llvm::SmallPtrSet<Operation *, 8> found;
  SmallVector<Operation *> worklist{root};
  while (!worklist.empty()) {
    for (Value operand : worklist.pop_back_val()->getOperands()) {
      Operation *producer = operand.getDefiningOp();
      tw::ConfigAttr config = producer ? configOf(producer) : tw::ConfigAttr();
      if (!config || anyTile(config.getTile()) || found.contains(producer))
        continue;
      bool onlyHere = llvm::all_of(producer->getUsers(), [&](Operation *user) {
        return user == root || found.contains(user) || isa<tensor::DimOp>(user);
      });
      if (!onlyHere)
        continue;
      found.insert(producer);
      worklist.push_back(producer);
    }
  }
  return found;
}

/// Takes the same slice with whole panels: all of the last dimension.
Value wholePanels(RewriterBase &rewriter, Value value) {
  auto slice = value.getDefiningOp<tensor::ExtractSliceOp>();
  if (!slice)
    return value;
  Value source = wholePanels(rewriter, slice.getSource());
  auto type = cast<RankedTensorType>(source.getType());
  if (type.isDynamicDim(type.getRank() - 1))
    return value;
  SmallVector<OpFoldResult> offsets = slice.getMixedOffsets();
  SmallVector<OpFoldResult> sizes = slice.getMixedSizes();
  if (static_cast<int64_t>(sizes.size()) != cast<RankedTensorType>(value.getType()).getRank())
    return value;
  offsets.back() = rewriter.getIndexAttr(0);
  sizes.back() = rewriter.getIndexAttr(type.getShape().back());
  rewriter.setInsertionPoint(slice);
  return tensor::ExtractSliceOp::create(rewriter, slice.getLoc(), source, offsets, sizes, slice.getMixedStrides());
}

/// Slices through `n mod panel` end where the last column does, but columns of
/// the panels before it lie beyond: where a tile may span panels, whole ones are
/// read.
void widenPanels(func::FuncOp function) {
  IRRewriter rewriter(function.getContext());
  function.walk([&](linalg::LinalgOp op) {
    for (OpOperand *input : op.getDpsInputOperands()) {
      if (!readsPanels(op.getMatchingIndexingMap(input)))
        continue;
      Value whole = wholePanels(rewriter, input->get());
      if (whole != input->get())
        rewriter.modifyOpInPlace(op, [&] { input->set(whole); });
    }
  });
}

/// Brings the producers of slices that tiling left outside into the loops over workgroup tiles.
void fuseIntoWorkgroups(func::FuncOp function) {
  IRRewriter rewriter(function.getContext());
  SmallVector<scf::ForallOp> foralls(function.getOps<scf::ForallOp>());
  for (scf::ForallOp forall : foralls) {
    SmallVector<tensor::ExtractSliceOp> slices;
    forall.walk([&](tensor::ExtractSliceOp slice) { slices.push_back(slice); });
    while (!slices.empty()) {
      tensor::ExtractSliceOp slice = slices.pop_back_val();
      Operation *producer = slice.getSource().getDefiningOp();
      if (!producer || !configOf(producer) || forall->isAncestor(producer) || slice->use_empty())
        continue;
      SmallVector<LoopLikeOpInterface> loops{cast<LoopLikeOpInterface>(forall.getOperation())};
      if (auto fused = scf::tileAndFuseProducerOfSlice(rewriter, slice, loops))
        for (Operation *generated : fused->generatedSlices)
          if (auto next = dyn_cast<tensor::ExtractSliceOp>(generated))
            slices.push_back(next);
    }
  }
}

/// Folds sizes and erases what tiling left without a use.
LogicalResult cleanUp(func::FuncOp function) {
  MLIRContext *context = function.getContext();
  RewritePatternSet patterns(context);
  for (auto *dialect : {context->getLoadedDialect("tensor"), context->getLoadedDialect("affine")})
    if (dialect)
      dialect->getCanonicalizationPatterns(patterns);
  tensor::ExtractSliceOp::getCanonicalizationPatterns(patterns, context);
  tensor::DimOp::getCanonicalizationPatterns(patterns, context);
  tensor::CastOp::getCanonicalizationPatterns(patterns, context);
  affine::AffineMinOp::getCanonicalizationPatterns(patterns, context);
  affine::AffineApplyOp::getCanonicalizationPatterns(patterns, context);
  scf::ForOp::getCanonicalizationPatterns(patterns, context);
  scf::ForallOp::getCanonicalizationPatterns(patterns, context);
  // A temporary is as large as the tile that fills it.
  tensor::populateFoldTensorEmptyPatterns(patterns,
                                          /*foldSingleUseOnly=*/false);
  context->getLoadedDialect<linalg::LinalgDialect>()->getCanonicalizationPatterns(patterns);
  if (failed(applyPatternsGreedily(function, std::move(patterns))))
    return failure();
  // A producer with several consumers was fused once for each of them.
  IRRewriter rewriter(context);
  DominanceInfo dominance(function);
  eliminateCommonSubExpressions(rewriter, dominance, function);
  return success();
}

struct TileAndFuse : tilewright::impl::TileAndFusePassBase<TileAndFuse> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (!function->hasAttr("tw.kernel"))
      return;
    if (failed(tileWorkgroups(function)))
      return signalPassFailure();
    if (failed(skipMasked(function)))
      return signalPassFailure();
    widenPanels(function);
    if (failed(cleanUp(function)))
      return signalPassFailure();
    packOperands(function);
    if (failed(tileRegisters(function)) || failed(cleanUp(function)))
      return signalPassFailure();
    function.walk([](Operation *op) { op->removeAttr(kTiled); });
  }

  LogicalResult tileWorkgroups(func::FuncOp function) {
    auto root = function.getBody().front().getTerminator()->getOperand(0).getDefiningOp<TilingInterface>();
    if (!root || !configOf(root) || !anyTile(configOf(root).getWorkgroup()))
      return success();
    IRRewriter rewriter(&getContext());
    auto all = [](Operation *) { return true; };
    if (failed(tileAndFuse(rewriter, root, configOf(root).getWorkgroup(),
                           /*parallel=*/true, all)))
      return root->emitError("cannot be tiled over threads: its slices cannot be computed");
    widenPanels(function);
    fuseIntoWorkgroups(function);
    return success();
  }

  /// Consumers first, so that a producer without tiles of its own is fused
  /// before it is looked at.
  LogicalResult tileRegisters(func::FuncOp function) {
    IRRewriter rewriter(&getContext());
    while (true) {
      TilingInterface next;
      function.walk<WalkOrder::PostOrder, ReverseIterator>([&](TilingInterface op) {
        tw::ConfigAttr config = configOf(op);
        if (!config || op->hasAttr(kTiled) || !anyTile(config.getTile()))
          return WalkResult::advance();
        next = op;
        return WalkResult::interrupt();
      });
      if (!next)
        return success();
      next->setAttr(kTiled, rewriter.getUnitAttr());
      llvm::SmallPtrSet<Operation *, 8> fused = producersWithoutTiles(next);
      SmallVector<int64_t> sizes(configOf(next).getTile());
      if (failed(tileAndFuse(rewriter, next, sizes, /*parallel=*/false,
                             [&](Operation *producer) { return fused.contains(producer); })))
        return next->emitError("cannot be tiled into register tiles");
    }
  }
};

} // namespace
