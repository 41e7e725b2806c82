//===- FuseElementwise.cpp - Fuse elementwise chains into their consumers -===//
//
// In:  stage linalg: one linalg.generic per operation of the program.
// Out: one linalg.generic per chain; broadcasts and transpositions are indexing
// maps; the panel producers of contractions
//      (dequantisation) are marked `tw.panel`.
// Here, before kernels are formed, because fusing bodies is what keeps a value
// in a register; grouping only keeps it in a cache. What this pass decides is
// whether a value is worth computing again for each of its consumers.
//===----------------------------------------------------------------------===//
#include "Transforms/FuseElementwise/FuseElementwise.h"

#include "Analysis/Contraction.h"
#include "Analysis/DotInstructions.h"
#include "Analysis/StoredBytes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tilewright {
#define GEN_PASS_DEF_FUSEELEMENTWISEPASS
#include "Transforms/FuseElementwise/FuseElementwise.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

bool isParallel(linalg::LinalgOp op) { return op.getNumReductionLoops() == 0; }

/// A generic that only moves elements.
bool isCopy(linalg::GenericOp op) {
  Block &body = op.getRegion().front();
  auto yield = cast<linalg::YieldOp>(body.getTerminator());
  return isParallel(op) && llvm::hasSingleElement(body) && isa<BlockArgument>(yield.getOperand(0)) &&
         !op.isDpsInit(op.getMatchingOpOperand(cast<BlockArgument>(yield.getOperand(0))));
}

/// A generic that writes one value from outside everywhere.
bool isSplat(linalg::GenericOp op) {
  Block &body = op.getRegion().front();
  Value yielded = cast<linalg::YieldOp>(body.getTerminator()).getOperand(0);
  return isParallel(op) && llvm::hasSingleElement(body) && op.getNumDpsInputs() == 0 &&
         yielded.getParentBlock() != &body;
}

/// A generic that makes a tensor from scalars and indices with cheap arithmetic
/// (a causal mask): computing an element again costs less than reading it.
bool expandsScalars(linalg::GenericOp op) {
  if (!isParallel(op) || op.getNumLoops() == 0 || op->getNumResults() != 1)
    return false;
  for (OpOperand *input : op.getDpsInputOperands())
    if (op.getMatchingIndexingMap(input).getNumResults() != 0)
      return false;
  return llvm::all_of(op.getRegion().front(), [](Operation &inner) {
    return isa<linalg::IndexOp, linalg::YieldOp, arith::ConstantOp, arith::IndexCastOp, arith::TruncIOp, arith::ExtSIOp,
               arith::AddIOp, arith::SubIOp, arith::MulIOp, arith::AndIOp, arith::OrIOp, arith::XOrIOp, arith::CmpIOp,
               arith::CmpFOp, arith::SelectOp, arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::SIToFPOp>(inner);
  });
}

/// Widens stored integers: its result has more bits than what it reads per
/// element.
bool dequantises(linalg::GenericOp op) { return op->hasAttr("tw.dequantize"); }

bool isPinned(Operation *op) { return op->hasAttr("tw.lowering"); }

/// Whether `value` is a weight, perhaps seen through reshapes: it can be packed for whoever reads it.
bool isWeight(Value value) {
  while (Operation *def = value.getDefiningOp()) {
    if (!isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(def))
      return false;
    value = def->getOperand(0);
  }
  auto argument = cast<BlockArgument>(value);
  auto function = dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp());
  return function && argument.getOwner()->isEntryBlock() && function.getArgAttr(argument.getArgNumber(), "tw.weight");
}

/// Whether a contraction finds the stored bytes one after the other: as they lie, or after they were packed.
bool readsBytesInOrder(linalg::GenericOp dequantiser) {
  return llvm::all_of(dequantiser.getDpsInputOperands(), [&](OpOperand *input) {
    return !getElementTypeOrSelf(input->get()).isInteger(8) ||
           dequantiser.getMatchingIndexingMap(input).isProjectedPermutation() || isWeight(input->get());
  });
}

/// `fewRows`: so many may dequantise a weight each for itself.
bool shouldFuse(OpOperand *operand, int64_t fewRows) {
  auto producer = operand->get().getDefiningOp<linalg::GenericOp>();
  auto consumer = dyn_cast<linalg::GenericOp>(operand->getOwner());
  if (!producer || !consumer || isPinned(producer) || isPinned(consumer))
    return false;
  // A fused copy is an indexing map: it costs nothing however often it is read.
  if (isCopy(producer) && producer.getMatchingIndexingMap(producer.getDpsInitOperand(0)).isPermutation()) {
    if (!contracts(consumer))
      return true;
    return producer.getMatchingIndexingMap(producer.getDpsInputOperand(0)).isProjectedPermutation();
  }
  if (isSplat(producer))
    return true;
  if (!producer->hasOneUse())
    return false;
  if (!contracts(consumer))
    return true;
  if (!dequantises(producer))
    return false;
  int64_t reads = timesRead(consumer, *operand);
  if (!ShapedType::isDynamic(reads) && reads <= fewRows)
    return true;
  // Rows that were rounded to bytes meet the stored integers, which is cheaper than floats however many rows there are.
  return dequantisesBytes(producer) && readsBytesInOrder(producer) && readsRoundedBytes(consumer, operand) &&
         DotInstructions(producer->getParentOfType<ModuleOp>()).i8;
}

/// A reshape moves through an operation where that brings a producer and its
/// consumer together.
bool shouldMoveReshape(OpOperand *operand) {
  Operation *def = operand->get().getDefiningOp();
  if (!def || isPinned(operand->getOwner()) || isPinned(def))
    return false;
  auto consumer = dyn_cast<linalg::GenericOp>(operand->getOwner());
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(def)) {
    auto producer = collapse.getSrc().getDefiningOp<linalg::GenericOp>();
    if (!producer || !consumer || isPinned(producer))
      return false;
    return dequantises(producer);
  }
  return false;
}

/// A generic that repeats a smaller tensor.
bool isRepeat(linalg::GenericOp op) {
  return isCopy(op) && op.getMatchingIndexingMap(op.getDpsInputOperand(0)).getNumResults() <
                           op.getMatchingIndexingMap(op.getDpsInitOperand(0)).getNumResults();
}

/// True where `input` is read element by element from a tensor of the result's
/// size: no scalar, and nothing repeated.
bool readsWholeTensor(linalg::GenericOp op, OpOperand *input) {
  if (!op.getMatchingIndexingMap(input).isPermutation())
    return false;
  auto def = input->get().getDefiningOp<linalg::GenericOp>();
  return !def || !(isRepeat(def) || isSplat(def));
}

/// One instruction on one tensor and what is repeated along it, as in `x - mean`:
/// reading its operand again costs what reading its result would, and the
/// result is never stored.
bool isCheaperThanStoring(linalg::GenericOp op) {
  Block &body = op.getRegion().front();
  if (!isParallel(op) || op->getNumResults() != 1 || std::distance(body.begin(), body.end()) != 2 ||
      !isa<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::ExtFOp>(body.front()))
    return false;
  OpOperand *whole = nullptr;
  for (OpOperand *input : op.getDpsInputOperands()) {
    if (!readsWholeTensor(op, input))
      continue;
    if (whole)
      return false;
    whole = input;
  }
  // What follows a contraction works on its accumulators.
  auto def = whole ? whole->get().getDefiningOp<linalg::LinalgOp>() : linalg::LinalgOp();
  return whole && !(def && contracts(def)) && llvm::all_of(op->getUses(), [](OpOperand &use) {
           auto user = dyn_cast<linalg::GenericOp>(use.getOwner());
           return user && !contracts(user) && !isPinned(user) && !user.isDpsInit(&use);
         });
}

/// Gives each consumer of a tensor that `isWanted` names one of its own, which
/// then fuses; says whether there was one. What does not fuse is shared again by
/// the next `cse`. In program order a chain of such tensors is not copied over
/// and over.
bool duplicate(func::FuncOp function, llvm::function_ref<bool(linalg::GenericOp)> isWanted) {
  SmallVector<linalg::GenericOp> shared;
  function.walk([&](linalg::GenericOp op) {
    auto fuses = [](Operation *user) {
      return isa<linalg::GenericOp>(user) && !contracts(cast<linalg::LinalgOp>(user));
    };
    if (!op->hasOneUse() && !isPinned(op) && isWanted(op) && llvm::any_of(op->getUsers(), fuses))
      shared.push_back(op);
  });
  IRRewriter rewriter(function.getContext());
  for (linalg::GenericOp op : shared) {
    rewriter.setInsertionPoint(op);
    for (OpOperand &use : llvm::make_early_inc_range(op->getUses()))
      if (auto user = dyn_cast<linalg::GenericOp>(use.getOwner()); user && !contracts(user))
        rewriter.modifyOpInPlace(user, [&] { use.set(rewriter.clone(*op)->getResult(0)); });
  }
  return !shared.empty();
}

struct FuseElementwise : tilewright::impl::FuseElementwisePassBase<FuseElementwise> {
  using FuseElementwisePassBase::FuseElementwisePassBase;

  void runOnOperation() override {
    func::FuncOp function = getOperation();
    duplicate(function, isCheaperThanStoring);
    // Now that every consumer has its own: a small tensor that is made and then
    // repeated would be fused into one large one.
    duplicate(function, isRepeat);
    do {
      if (failed(fuse(function)))
        return signalPassFailure();
    } while (duplicate(function, expandsScalars));
    function.walk([&](linalg::GenericOp op) {
      if (dequantises(op) && op->hasOneUse())
        if (auto user = dyn_cast<linalg::LinalgOp>(*op->user_begin()); user && contracts(user))
          op->setAttr("tw.panel", UnitAttr::get(&getContext()));
    });
  }

  LogicalResult fuse(func::FuncOp function) {
    MLIRContext *context = &getContext();
    RewritePatternSet patterns(context);
    linalg::populateElementwiseOpsFusionPatterns(
        patterns, [fewRows = rows.getValue()](OpOperand *operand) { return shouldFuse(operand, fewRows); });
    linalg::populateFoldReshapeOpsByExpansionPatterns(patterns, shouldMoveReshape);
    linalg::populateEraseUnusedOperandsAndResultsPatterns(patterns);
    linalg::GenericOp::getCanonicalizationPatterns(patterns, context);
    tensor::ExpandShapeOp::getCanonicalizationPatterns(patterns, context);
    tensor::CollapseShapeOp::getCanonicalizationPatterns(patterns, context);
    affine::AffineApplyOp::getCanonicalizationPatterns(patterns, context);
    tensor::DimOp::getCanonicalizationPatterns(patterns, context);
    context->getLoadedDialect<linalg::LinalgDialect>()->getCanonicalizationPatterns(patterns);
    GreedyRewriteConfig config;
    config.setUseTopDownTraversal(true);
    return applyPatternsGreedily(function, std::move(patterns), config);
  }
};

} // namespace
