//===- TwElementwise.cpp - Verifiers and folds of elementwise ops -----------===//
#include "Tw/OpSupport.h"
#include "Tw/TwDialect.h"

#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace tilewright::tw;

LogicalResult GeluOp::verify() {
  if (getApproximate() != "none" && getApproximate() != "tanh")
    return emitOpError("(c2) approximate must be \"none\" or \"tanh\", not \"") << getApproximate() << "\"";
  return success();
}

LogicalResult CompareOp::verify() {
  if (!llvm::is_contained({"eq", "ne", "lt", "le", "gt", "ge"}, getPredicate()))
    return emitOpError("(c3) predicate must be one of eq, ne, lt, le, gt, ge, not \"") << getPredicate() << "\"";
  return success();
}

LogicalResult CastOp::verify() {
  if (getInput().getType().getShape() != getType().getShape())
    return emitOpError("(c1) input and result must have the same shape");
  return success();
}

//===----------------------------------------------------------------------===//
// Bodies with more than two scalars or another result type
//===----------------------------------------------------------------------===//
SmallVector<Value> SelectOp::buildLoopBody(OpBuilder &builder, Location loc, ValueRange scalars, ValueRange) {
  return {ScalarBuilder(builder, loc, getType().getElementType()).select(scalars[0], scalars[1], scalars[2])};
}

SmallVector<Value> CastOp::buildLoopBody(OpBuilder &builder, Location loc, ValueRange scalars, ValueRange) {
  ScalarBuilder scalar(builder, loc, getInput().getType().getElementType());
  return {scalar.cast(scalars[0], getType().getElementType())};
}

//===----------------------------------------------------------------------===//
// Folds: only what is exact for every value, NaN and signed zeros included
//===----------------------------------------------------------------------===//
/// Whether `attr` is a splat of the number `value`.
static bool isSplat(Attribute attr, double value) {
  auto splat = dyn_cast_or_null<SplatElementsAttr>(attr);
  if (!splat)
    return false;
  if (isa<FloatType>(splat.getElementType())) {
    APFloat number = splat.getSplatValue<APFloat>();
    return number.isExactlyValue(value) && number.isNegative() == std::signbit(value);
  }
  return splat.getSplatValue<APInt>() == (uint64_t)value;
}

OpFoldResult AddOp::fold(FoldAdaptor adaptor) {
  // x + 0 is not x for x = -0.0, but x + -0.0 is.
  bool isFloat = isa<FloatType>(getType().getElementType());
  return isSplat(adaptor.getRhs(), isFloat ? -0.0 : 0.0) ? getLhs() : OpFoldResult();
}
OpFoldResult SubOp::fold(FoldAdaptor adaptor) { return isSplat(adaptor.getRhs(), 0.0) ? getLhs() : OpFoldResult(); }
OpFoldResult MulOp::fold(FoldAdaptor adaptor) { return isSplat(adaptor.getRhs(), 1.0) ? getLhs() : OpFoldResult(); }
OpFoldResult DivOp::fold(FoldAdaptor adaptor) { return isSplat(adaptor.getRhs(), 1.0) ? getLhs() : OpFoldResult(); }

OpFoldResult LogicalNotOp::fold(FoldAdaptor) {
  auto inner = getInput().getDefiningOp<LogicalNotOp>();
  return inner ? inner.getInput() : OpFoldResult();
}

OpFoldResult SelectOp::fold(FoldAdaptor adaptor) {
  if (getOnTrue() == getOnFalse())
    return getOnTrue();
  if (auto splat = dyn_cast_or_null<SplatElementsAttr>(adaptor.getCondition()))
    return splat.getSplatValue<bool>() ? getOnTrue() : getOnFalse();
  return {};
}

OpFoldResult CastOp::fold(FoldAdaptor) { return getInput().getType() == getType() ? getInput() : OpFoldResult(); }

/// Whether every value of `from` is a value of `to`.
static bool isExact(Type from, Type to) {
  if (from == to)
    return true;
  if (auto toFloat = dyn_cast<FloatType>(to)) {
    if (auto fromFloat = dyn_cast<FloatType>(from))
      return fromFloat.getWidth() < toFloat.getWidth();
    return from.getIntOrFloatBitWidth() <= toFloat.getFPMantissaWidth();
  }
  if (isa<FloatType>(from) || to.isInteger(1))
    return false;
  unsigned fromWidth = from.getIntOrFloatBitWidth(), toWidth = to.getIntOrFloatBitWidth();
  if (from.isInteger(1))
    return true;
  return fromWidth < toWidth && (from.isUnsignedInteger() || !to.isUnsignedInteger());
}

namespace {
/// cast(cast(x)) is one cast where the inner one loses nothing.
struct FoldCastOfExactCast : OpRewritePattern<CastOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(CastOp op, PatternRewriter &rewriter) const override {
    auto inner = op.getInput().getDefiningOp<CastOp>();
    if (!inner)
      return rewriter.notifyMatchFailure(op, "the operand is not a cast");
    Type from = inner.getInput().getType().getElementType(), middle = inner.getType().getElementType();
    if (!isExact(from, middle))
      return rewriter.notifyMatchFailure(op, "the inner cast may lose something");
    rewriter.replaceOpWithNewOp<CastOp>(op, op.getType(), inner.getInput());
    return success();
  }
};
} // namespace

void CastOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<FoldCastOfExactCast>(context);
}
