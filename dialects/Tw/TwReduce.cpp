//===- TwReduce.cpp - Reductions and scans ----------------------------------===//
#include "Tw/OpSupport.h"
#include "Tw/TwDialect.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;

namespace tilewright::tw::common {

LogicalResult inferError(std::optional<Location> loc, StringRef name, const Twine &message) {
  return emitOptionalError(loc, "'", name, "' op ", message);
}

bool sizesMayAgree(int64_t a, int64_t b) { return a == b || ShapedType::isDynamic(a) || ShapedType::isDynamic(b); }

LogicalResult verifyAxis(Operation *op, RankedTensorType type, int64_t axis) {
  if (axis < 0 || axis >= type.getRank())
    return op->emitOpError("(c1) axis ") << axis << " is not a dimension of " << type;
  return success();
}

LogicalResult inferReduction(std::optional<Location> loc, StringRef name, Type input, ArrayRef<int64_t> dims,
                             SmallVectorImpl<Type> &types, Type element) {
  auto tensor = dyn_cast<RankedTensorType>(input);
  if (!tensor)
    return inferError(loc, name, "(c1) input must be a ranked tensor");
  SmallVector<int64_t> shape(tensor.getShape());
  for (auto [index, dim] : llvm::enumerate(dims))
    if (dim < 0 || dim >= tensor.getRank() || (index && dim <= dims[index - 1]))
      return inferError(loc, name,
                        "(c1) dimensions must exist and increase, but " + Twine(dim) + " does not fit rank " +
                            Twine(tensor.getRank()));
  for (int64_t dim : llvm::reverse(dims))
    shape.erase(shape.begin() + dim);
  types.push_back(RankedTensorType::get(shape, element ? element : tensor.getElementType()));
  return success();
}

LogicalResult reifyReduction(Operation *op, OpBuilder &builder, Value input, ArrayRef<int64_t> dims,
                             ReifiedRankedShapedTypeDims &shapes) {
  SmallVector<OpFoldResult> &sizes = shapes.emplace_back();
  for (int64_t dim = 0, rank = cast<RankedTensorType>(input.getType()).getRank(); dim < rank; ++dim)
    if (!llvm::is_contained(dims, dim))
      sizes.push_back(dimSize(builder, op->getLoc(), input, dim));
  return success();
}

SmallVector<AffineMap> reductionMaps(RankedTensorType input, ArrayRef<int64_t> dims, unsigned outputs) {
  AffineMap identity = AffineMap::getMultiDimIdentityMap(input.getRank(), input.getContext());
  AffineMap kept = identity;
  for (int64_t dim : llvm::reverse(dims))
    kept = kept.dropResult(dim);
  SmallVector<AffineMap> maps(outputs + 1, kept);
  maps.front() = identity;
  return maps;
}

SmallVector<utils::IteratorType> reductionIterators(RankedTensorType input, ArrayRef<int64_t> dims) {
  SmallVector<utils::IteratorType> iterators(input.getRank(), utils::IteratorType::parallel);
  for (int64_t dim : dims)
    iterators[dim] = utils::IteratorType::reduction;
  return iterators;
}

TypedAttr ReductionInit::number(int64_t value) const {
  if (auto real = dyn_cast<FloatType>(type))
    return FloatAttr::get(real, value);
  return IntegerAttr::get(type, value);
}

TypedAttr ReductionInit::extreme(bool low) const {
  if (auto real = dyn_cast<FloatType>(type))
    return FloatAttr::get(real, APFloat::getInf(real.getFloatSemantics(), low));
  unsigned width = type.getIntOrFloatBitWidth();
  bool isUnsigned = element.isUnsignedInteger();
  APInt value = low ? (isUnsigned ? APInt::getZero(width) : APInt::getSignedMinValue(width))
                    : (isUnsigned ? APInt::getAllOnes(width) : APInt::getSignedMaxValue(width));
  return IntegerAttr::get(type, value);
}

/// The type that tells the body about signedness once half-precision values are widened.
static Type bodyType(Type element) { return isa<FloatType>(element) ? accumulatorType(element) : element; }

static Value widen(OpBuilder &builder, Location loc, Type element, Value x) {
  return ScalarBuilder(builder, loc, element).cast(x, bodyType(element));
}

SmallVector<Value> combine(OpBuilder &builder, Location loc, Type element, ValueRange scalars, BinaryBody body) {
  ScalarBuilder scalar(builder, loc, bodyType(element), /*combining=*/true);
  return {body(scalar, widen(builder, loc, element, scalars[0]), scalars[1])};
}

SmallVector<Value> accumulate(OpBuilder &builder, Location loc, Type element, ValueRange scalars, BinaryBody body) {
  // The order is fixed, so nothing may be reassociated.
  ScalarBuilder scalar(builder, loc, bodyType(element));
  Value total = body(scalar, widen(builder, loc, element, scalars[0]), scalars[2]);
  return {scalar.cast(total, element), total};
}

SmallVector<Value> pickBest(OpBuilder &builder, Location loc, Type element, ValueRange scalars, int64_t axis,
                            StringRef order) {
  ScalarBuilder scalar(builder, loc, bodyType(element));
  Value x = widen(builder, loc, element, scalars[0]), bestPosition = scalars[1], best = scalars[2];
  Value position = arith::IndexCastOp::create(builder, loc, builder.getI64Type(),
                                              linalg::IndexOp::create(builder, loc, axis).getResult());
  Value better = scalar.compare(order, x, best), same = scalar.compare("eq", x, best);
  if (isa<FloatType>(element)) {
    // NaN is better than any number.
    Value xNan = scalar.isNan(x), bestNan = scalar.isNan(best);
    better = scalar.make<arith::OrIOp>(better, scalar.make<arith::AndIOp>(xNan, scalar.logicalNot(bestNan)));
    same = scalar.make<arith::OrIOp>(same, scalar.make<arith::AndIOp>(xNan, bestNan));
  }
  // Among equal values the smaller position wins in whatever order they are met.
  Value earlier = scalar.make<arith::CmpIOp>(arith::CmpIPredicate::slt, position, bestPosition);
  better = scalar.make<arith::OrIOp>(better, scalar.make<arith::AndIOp>(same, earlier));
  return {scalar.select(better, position, bestPosition), scalar.select(better, x, best)};
}
} // namespace tilewright::tw::common
