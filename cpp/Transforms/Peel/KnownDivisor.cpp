//===- KnownDivisor.cpp - What an index is a multiple of ------------------===//
//
// In:  an index made of loop variables, sizes of slices, affine.apply,
// affine.min
//      and constants.
// Out: a number that divides it.
// Why here: 576 columns in groups of 128 leave a group of 64. Its size is
// min(128, 576 - %i), which is no constant and yet a whole number of tiles of
// 32; a remainder that never runs would double the code of the kernel.
//===----------------------------------------------------------------------===//
#include "Transforms/Peel/KnownDivisor.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"

#include <numeric>

using namespace mlir;
using namespace tilewright;

namespace {

/// Divisors beyond this are cut, so that products cannot overflow.
constexpr int64_t kLargest = int64_t(1) << 31;

int64_t product(int64_t lhs, int64_t rhs) {
  if (lhs == 0 || rhs == 0)
    return 0;
  return lhs > kLargest / rhs ? lhs : lhs * rhs;
}

int64_t divisorOf(AffineExpr expr, AffineMap map, ValueRange operands) {
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return knownDivisor(operands[dim.getPosition()]);
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr))
    return knownDivisor(operands[map.getNumDims() + symbol.getPosition()]);
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return std::abs(constant.getValue());
  auto binary = cast<AffineBinaryOpExpr>(expr);
  int64_t lhs = divisorOf(binary.getLHS(), map, operands);
  int64_t rhs = divisorOf(binary.getRHS(), map, operands);
  switch (binary.getKind()) {
  case AffineExprKind::Add:
  case AffineExprKind::Mod:
    return std::gcd(lhs, rhs);
  case AffineExprKind::Mul:
    return product(lhs, rhs);
  case AffineExprKind::FloorDiv: {
    bool exact = isa<AffineConstantExpr>(binary.getRHS()) && rhs != 0 && lhs % rhs == 0;
    return exact ? lhs / rhs : 1;
  }
  default:
    return 1;
  }
}

int64_t divisorOf(AffineMap map, ValueRange operands) {
  int64_t divisor = 0;
  for (AffineExpr result : map.getResults())
    divisor = std::gcd(divisor, divisorOf(result, map, operands));
  return divisor;
}

/// The divisor of a tensor's size, looked for where the tensor is made.
int64_t divisorOf(Value tensor, int64_t dim) {
  if (auto type = dyn_cast<RankedTensorType>(tensor.getType()))
    if (!type.isDynamicDim(dim))
      return type.getDimSize(dim);
  if (auto empty = tensor.getDefiningOp<tensor::EmptyOp>())
    return knownDivisor(empty.getMixedSizes()[dim]);
  if (auto slice = tensor.getDefiningOp<tensor::ExtractSliceOp>())
    if (slice.getDroppedDims().none())
      return knownDivisor(slice.getMixedSizes()[dim]);
  if (auto op = tensor.getDefiningOp<DestinationStyleOpInterface>())
    return divisorOf(op.getTiedOpOperand(cast<OpResult>(tensor))->get(), dim);
  return 1;
}

} // namespace

int64_t tilewright::knownDivisor(OpFoldResult index) {
  if (std::optional<int64_t> constant = getConstantIntValue(index))
    return std::abs(*constant);
  auto value = cast<Value>(index);
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    Operation *parent = argument.getOwner()->getParentOp();
    if (auto loop = dyn_cast_or_null<scf::ForOp>(parent))
      if (argument == loop.getInductionVar())
        return std::gcd(knownDivisor(loop.getLowerBound()), knownDivisor(loop.getStep()));
    if (auto loop = dyn_cast_or_null<scf::ForallOp>(parent))
      if (argument.getArgNumber() < loop.getRank())
        return std::gcd(knownDivisor(loop.getMixedLowerBound()[argument.getArgNumber()]),
                        knownDivisor(loop.getMixedStep()[argument.getArgNumber()]));
    return 1;
  }
  Operation *op = value.getDefiningOp();
  if (auto apply = dyn_cast<affine::AffineApplyOp>(op))
    return divisorOf(apply.getAffineMap(), apply.getMapOperands());
  if (auto min = dyn_cast<affine::AffineMinOp>(op))
    return divisorOf(min.getAffineMap(), min.getOperands());
  if (auto max = dyn_cast<affine::AffineMaxOp>(op))
    return divisorOf(max.getAffineMap(), max.getOperands());
  if (auto dim = dyn_cast<tensor::DimOp>(op))
    if (std::optional<int64_t> position = dim.getConstantIndex())
      return divisorOf(dim.getSource(), *position);
  if (isa<arith::AddIOp, arith::SubIOp, arith::MinSIOp, arith::MinUIOp>(op))
    return std::gcd(knownDivisor(op->getOperand(0)), knownDivisor(op->getOperand(1)));
  if (isa<arith::MulIOp>(op))
    return product(knownDivisor(op->getOperand(0)), knownDivisor(op->getOperand(1)));
  return 1;
}

bool tilewright::dividesEvenly(scf::ForOp loop) {
  std::optional<int64_t> step = getConstantIntValue(loop.getStep());
  if (!step || *step <= 0)
    return false;
  return std::gcd(knownDivisor(loop.getLowerBound()), knownDivisor(loop.getUpperBound())) % *step == 0;
}
