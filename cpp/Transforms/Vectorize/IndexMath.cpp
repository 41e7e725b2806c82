//===- IndexMath.cpp - Index arithmetic that folds while it builds
//----------===//
//
// In:  affine expressions over loop indices that are constants or values. Out:
// arith ops, none where it is all constant. It stands here, and not in
// affine.apply, because most indices of a register tile are constants.
//===----------------------------------------------------------------------===//
#include "Transforms/Vectorize/Emitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace tilewright::vectorize;

Value IndexMath::value(OpFoldResult ofr) { return getValueOrCreateConstantIndexOp(b, loc, ofr); }

Values IndexMath::values(ArrayRef<OpFoldResult> ofrs) {
  return llvm::map_to_vector(ofrs, [&](OpFoldResult ofr) { return value(ofr); });
}

OpFoldResult IndexMath::add(OpFoldResult lhs, OpFoldResult rhs) {
  std::optional<int64_t> l = getConstantIntValue(lhs), r = getConstantIntValue(rhs);
  if (l && r)
    return constant(*l + *r);
  if (l == 0)
    return rhs;
  if (r == 0)
    return lhs;
  if (l)
    std::swap(lhs, rhs);
  return arith::AddIOp::create(b, loc, value(lhs), value(rhs)).getResult();
}

OpFoldResult IndexMath::sub(OpFoldResult lhs, OpFoldResult rhs) {
  std::optional<int64_t> l = getConstantIntValue(lhs), r = getConstantIntValue(rhs);
  if (l && r)
    return constant(*l - *r);
  if (r == 0)
    return lhs;
  return arith::SubIOp::create(b, loc, value(lhs), value(rhs)).getResult();
}

OpFoldResult IndexMath::roundDown(OpFoldResult v, int64_t multiple) {
  if (std::optional<int64_t> c = getConstantIntValue(v))
    return constant(*c - *c % multiple);
  return sub(v, arith::RemUIOp::create(b, loc, value(v), value(constant(multiple))).getResult());
}

OpFoldResult IndexMath::evaluate(AffineExpr expr, ArrayRef<OpFoldResult> loops) {
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return loops[dim.getPosition()];
  if (auto c = dyn_cast<AffineConstantExpr>(expr))
    return constant(c.getValue());
  auto binary = cast<AffineBinaryOpExpr>(expr);
  OpFoldResult lhs = evaluate(binary.getLHS(), loops), rhs = evaluate(binary.getRHS(), loops);
  std::optional<int64_t> l = getConstantIntValue(lhs), r = getConstantIntValue(rhs);
  switch (binary.getKind()) {
  case AffineExprKind::Add:
    return add(lhs, rhs);
  case AffineExprKind::Mul:
    if (l && r)
      return constant(*l * *r);
    if (r == 0 || l == 0)
      return constant(0);
    if (r == 1)
      return lhs;
    return arith::MulIOp::create(b, loc, value(lhs), value(rhs)).getResult();
  // An index into a tensor is never negative, and neither is what is divided on
  // the way to it.
  case AffineExprKind::FloorDiv:
    if (l && r)
      return constant(*l / *r);
    if (r == 1)
      return lhs;
    return arith::DivUIOp::create(b, loc, value(lhs), value(rhs)).getResult();
  case AffineExprKind::Mod:
    if (l && r)
      return constant(*l % *r);
    if (r == 1)
      return constant(0);
    return arith::RemUIOp::create(b, loc, value(lhs), value(rhs)).getResult();
  case AffineExprKind::CeilDiv:
    if (l && r)
      return constant((*l + *r - 1) / *r);
    return arith::CeilDivUIOp::create(b, loc, value(lhs), value(rhs)).getResult();
  default:
    llvm_unreachable("not an affine operation");
  }
}
