//===- Running.cpp - Running sums and products ------------------------------===//
#include "Analysis/Running.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace tilewright;

std::optional<Running> tilewright::matchRunning(linalg::LinalgOp op) {
  SmallVector<unsigned> reductions;
  op.getReductionDims(reductions);
  if (reductions.size() != 1 || op.getNumDpsInits() != 2)
    return std::nullopt;
  auto dependsOnLoop = [&](unsigned output) {
    return op.getMatchingIndexingMap(op.getDpsInitOperand(output)).isFunctionOfDim(reductions.front());
  };
  if (!dependsOnLoop(0) || dependsOnLoop(1))
    return std::nullopt;
  BlockArgument before = op.getRegionOutputArgs()[0], total = op.getRegionOutputArgs()[1];
  Operation *terminator = op.getBlock()->getTerminator();
  Operation *combiner = terminator->getOperand(1).getDefiningOp();
  if (!before.use_empty() || !total.hasOneUse() || !combiner || !arith::getNeutralElement(combiner) ||
      !isa<arith::AddFOp, arith::AddIOp, arith::MulFOp, arith::MulIOp>(combiner) ||
      !llvm::is_contained(combiner->getOperands(), total))
    return std::nullopt;
  Running running{combiner, combiner->getOperand(combiner->getOperand(0) == total ? 1 : 0), nullptr};
  Operation *result = terminator->getOperand(0).getDefiningOp();
  if (result == combiner)
    return running;
  bool narrows = result && result->getNumOperands() == 1 && result->getNumRegions() == 0 &&
                 result->getOperand(0) == combiner->getResult(0) && OpTrait::hasElementwiseMappableTraits(result);
  if (!narrows)
    return std::nullopt;
  running.narrow = result;
  return running;
}
