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
#include "llvm/Support/MathExtras.h"

#include <numeric>

using namespace mlir;
using namespace tilewright;
using llvm::mod;

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

/// A tensor's size, looked for where the tensor is made.
std::optional<OpFoldResult> sizeOf(Value tensor, int64_t dim) {
  auto type = dyn_cast<RankedTensorType>(tensor.getType());
  if (type && !type.isDynamicDim(dim))
    return OpFoldResult(IntegerAttr::get(IndexType::get(type.getContext()), type.getDimSize(dim)));
  if (auto empty = tensor.getDefiningOp<tensor::EmptyOp>())
    return empty.getMixedSizes()[dim];
  if (auto slice = tensor.getDefiningOp<tensor::ExtractSliceOp>())
    if (slice.getDroppedDims().none())
      return slice.getMixedSizes()[dim];
  if (auto op = tensor.getDefiningOp<DestinationStyleOpInterface>())
    return sizeOf(op.getTiedOpOperand(cast<OpResult>(tensor))->get(), dim);
  if (auto insert = tensor.getDefiningOp<tensor::InsertSliceOp>())
    return sizeOf(insert.getDest(), dim);
  if (auto loop = tensor.getDefiningOp<scf::ForOp>())
    return sizeOf(loop.getTiedLoopInit(cast<OpResult>(tensor))->get(), dim);
  return std::nullopt;
}

/// What an expression leaves when it is divided by `step`, or nothing.
std::optional<int64_t> residueOf(AffineExpr expr, AffineMap map, ValueRange operands, int64_t step) {
  auto ofOperand = [&](unsigned position) -> std::optional<int64_t> {
    if (knownDivisor(operands[position]) % step == 0)
      return 0;
    return std::nullopt;
  };
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return ofOperand(dim.getPosition());
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr))
    return ofOperand(map.getNumDims() + symbol.getPosition());
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return mod(constant.getValue(), step);
  auto binary = cast<AffineBinaryOpExpr>(expr);
  if (binary.getKind() != AffineExprKind::Add && binary.getKind() != AffineExprKind::Mul)
    return std::nullopt;
  std::optional<int64_t> lhs = residueOf(binary.getLHS(), map, operands, step);
  std::optional<int64_t> rhs = residueOf(binary.getRHS(), map, operands, step);
  if (binary.getKind() == AffineExprKind::Mul && (lhs == 0 || rhs == 0))
    return 0;
  if (!lhs || !rhs || std::max(*lhs, *rhs) > kLargest)
    return std::nullopt;
  return mod(binary.getKind() == AffineExprKind::Add ? *lhs + *rhs : *lhs * *rhs, step);
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
      if (std::optional<OpFoldResult> size = sizeOf(dim.getSource(), *position))
        return knownDivisor(*size);
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

std::optional<int64_t> tilewright::knownRemainder(scf::ForOp loop) {
  std::optional<int64_t> step = getConstantIntValue(loop.getStep());
  if (!step || *step <= 0 || *step > kLargest || knownDivisor(loop.getLowerBound()) % *step != 0)
    return std::nullopt;
  Value end = loop.getUpperBound();
  if (auto dim = end.getDefiningOp<tensor::DimOp>())
    if (std::optional<int64_t> position = dim.getConstantIndex())
      if (std::optional<OpFoldResult> size = sizeOf(dim.getSource(), *position))
        end = dyn_cast<Value>(*size);
  AffineMap map;
  ValueRange operands;
  if (auto min = end ? end.getDefiningOp<affine::AffineMinOp>() : nullptr) {
    map = min.getAffineMap();
    operands = min.getMapOperands();
  } else if (auto apply = end ? end.getDefiningOp<affine::AffineApplyOp>() : nullptr) {
    map = apply.getAffineMap();
    operands = apply.getMapOperands();
  } else {
    return std::nullopt;
  }
  int64_t remainder = 0;
  for (AffineExpr result : map.getResults()) {
    std::optional<int64_t> residue = residueOf(result, map, operands, *step);
    if (!residue || (*residue != 0 && remainder != 0 && *residue != remainder))
      return std::nullopt;
    remainder = std::max(remainder, *residue);
  }
  return remainder;
}
