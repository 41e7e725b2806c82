//===- Contraction.cpp - Which loop nests are contractions ----------------===//
//
// Definitions and examples stand in the header.
//
//===----------------------------------------------------------------------===//
#include "Analysis/Contraction.h"

using namespace mlir;
using namespace tilewright;

/// A scalar lacks every loop and is read once all the same.
static bool isScalar(AffineMap map) {
  return llvm::all_of(map.getResults(), [](AffineExpr expr) { return isa<AffineConstantExpr>(expr); });
}

bool tilewright::contracts(linalg::LinalgOp op) {
  if (op.getNumReductionLoops() == 0)
    return false;
  SmallVector<unsigned> parallel;
  op.getParallelDims(parallel);
  unsigned readAgain = llvm::count_if(op.getDpsInputOperands(), [&](OpOperand *input) {
    AffineMap map = op.getMatchingIndexingMap(input);
    return !isScalar(map) && llvm::any_of(parallel, [&](unsigned d) { return !map.isFunctionOfDim(d); });
  });
  return readAgain >= 2;
}

std::optional<unsigned> tilewright::columnLoop(linalg::LinalgOp op) {
  if (op.getNumReductionLoops() == 0 || op.getNumDpsInits() != 1)
    return std::nullopt;
  AffineMap output = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  if (output.getNumResults() == 0)
    return std::nullopt;
  auto column = dyn_cast<AffineDimExpr>(output.getResults().back());
  if (!column)
    return std::nullopt;
  bool someLack = false, someHave = false;
  for (OpOperand *input : op.getDpsInputOperands()) {
    AffineMap map = op.getMatchingIndexingMap(input);
    bool has = map.isFunctionOfDim(column.getPosition());
    someHave |= has;
    someLack |= !has && !isScalar(map);
  }
  if (!someLack || !someHave)
    return std::nullopt;
  return column.getPosition();
}

int64_t tilewright::timesRead(linalg::LinalgOp op, OpOperand &operand) {
  AffineMap map = op.getMatchingIndexingMap(&operand);
  SmallVector<unsigned> parallel;
  op.getParallelDims(parallel);
  SmallVector<int64_t> ranges = op.getStaticLoopRanges();
  int64_t times = 1;
  for (unsigned d : parallel) {
    if (map.isFunctionOfDim(d))
      continue;
    if (ShapedType::isDynamic(ranges[d]))
      return ShapedType::kDynamic;
    times *= ranges[d];
  }
  return times;
}
