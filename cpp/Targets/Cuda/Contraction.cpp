//===- Contraction.cpp - What a product of two operands is made of ----------===//
#include "Targets/Cuda/Contraction.h"

#include "Tw/TwDialect.h"
#include "mlir/Analysis/SliceAnalysis.h"
#include "llvm/ADT/SmallBitVector.h"

using namespace mlir;
using namespace tilewright;
using namespace tilewright::cuda;

namespace {

/// Which loops, and which arguments of the body, a value of the body depends on.
struct Dependence {
  llvm::SmallBitVector loops, arguments;
};

Dependence dependenceOf(linalg::LinalgOp op, Value value) {
  Block *body = op.getBlock();
  Dependence found{llvm::SmallBitVector(op.getNumLoops()), llvm::SmallBitVector(body->getNumArguments())};
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  auto visit = [&](Value each) {
    auto argument = dyn_cast<BlockArgument>(each);
    if (!argument || argument.getOwner() != body)
      return;
    found.arguments.set(argument.getArgNumber());
    for (unsigned loop = 0; loop < op.getNumLoops(); ++loop)
      if (maps[argument.getArgNumber()].isFunctionOfDim(loop))
        found.loops.set(loop);
  };
  visit(value);
  llvm::SetVector<Operation *> slice;
  BackwardSliceOptions options;
  options.inclusive = true;
  options.omitBlockArguments = true;
  options.filter = [&](Operation *each) { return each->getBlock() == body; };
  if (value.getDefiningOp())
    (void)getBackwardSlice(value, &slice, options);
  for (Operation *each : slice) {
    each->walk([&](Operation *nested) {
      llvm::for_each(nested->getOperands(), visit);
      if (auto index = dyn_cast<linalg::IndexOp>(nested))
        found.loops.set(index.getDim());
    });
  }
  return found;
}

/// The type that tensor cores multiply which a value was widened from, exactly.
Type narrowType(Value value) {
  if (auto widened = value.getDefiningOp<arith::ExtSIOp>(); widened && widened.getType().isInteger(32))
    return widened.getIn().getType().isInteger(8) ? widened.getIn().getType() : Type();
  auto widened = value.getDefiningOp<arith::ExtFOp>();
  if (!widened || !widened.getType().isF32())
    return {};
  Type from = widened.getIn().getType();
  return from.isF16() || from.isBF16() ? from : Type();
}

/// The 8-bit float type that a value was widened from: a byte in memory.
Type float8Type(Value value) {
  auto widened = value.getDefiningOp<arith::ExtFOp>();
  Type from = widened ? widened.getIn().getType() : Type();
  return from && isa<Float8E4M3FNType, Float8E5M2Type>(from) ? from : Type();
}

} // namespace

std::optional<Contraction> cuda::contractionOf(linalg::LinalgOp op) {
  if (op.getNumDpsInits() != 1 || op.getNumReductionLoops() == 0)
    return std::nullopt;
  BlockArgument accumulator = op.getRegionOutputArgs().front();
  Operation *sum = op.getBlock()->getTerminator()->getOperand(0).getDefiningOp();
  if (!isa_and_nonnull<arith::AddFOp, arith::AddIOp>(sum) || !accumulator.hasOneUse())
    return std::nullopt;
  unsigned place = sum->getOperand(0) == accumulator ? 1 : 0;
  if (sum->getOperand(1 - place) != accumulator)
    return std::nullopt;
  Operation *multiply = sum->getOperand(place).getDefiningOp();
  if (!isa_and_nonnull<arith::MulFOp, arith::MulIOp>(multiply) || multiply->getBlock() != op.getBlock())
    return std::nullopt;
  Contraction found{op, sum, multiply, multiply->getOperand(0), multiply->getOperand(1), {}, {}, {}, {}, {}};
  Dependence lhs = dependenceOf(op, found.lhs), rhs = dependenceOf(op, found.rhs);
  AffineMap written = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  SmallVector<utils::IteratorType> kinds = op.getIteratorTypesArray();
  auto sort = [&] {
    for (auto *loops : {&found.batch, &found.rows, &found.columns, &found.inner})
      loops->clear();
    for (unsigned loop = 0; loop < kinds.size(); ++loop) {
      if (kinds[loop] != utils::IteratorType::parallel)
        found.inner.push_back(loop);
      else if (lhs.loops[loop] == rhs.loops[loop])
        found.batch.push_back(loop);
      else
        (lhs.loops[loop] ? found.rows : found.columns).push_back(loop);
    }
  };
  sort();
  // Columns are what neighbouring results differ by, so that threads write rows of them.
  auto innermost =
      written.getNumResults() ? dyn_cast<AffineDimExpr>(written.getResults().back()) : AffineDimExpr(nullptr);
  if (innermost && llvm::is_contained(found.rows, innermost.getPosition())) {
    std::swap(found.lhs, found.rhs);
    std::swap(lhs, rhs);
    sort();
  }
  if (found.rows.empty() || found.columns.empty() || lhs.arguments.test(accumulator.getArgNumber()) ||
      rhs.arguments.test(accumulator.getArgNumber()))
    return std::nullopt;
  Type left = narrowType(found.lhs), right = narrowType(found.rhs), type = sum->getResult(0).getType();
  if (left && left == right && (left.isInteger() ? type.isInteger(32) : type.isF32()))
    found.narrow = left;
  left = float8Type(found.lhs);
  right = float8Type(found.rhs);
  if (left && right && sum->getResult(0).getType().isF32()) {
    found.lhsFloat8 = left;
    found.rhsFloat8 = right;
  }
  auto precision = multiply->getAttrOfType<StringAttr>(tw::kPrecision);
  found.isTf32 = !found.narrow && precision && precision.getValue() == tw::kTf32 && type.isF32();
  return found;
}
