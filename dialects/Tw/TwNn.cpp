//===- TwNn.cpp - Verifiers of neural network ops, and rope's loops ---------===//
#include "Tw/OpSupport.h"
#include "Tw/TwDialect.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tilewright::tw;
using tilewright::tw::common::inferError;
using tilewright::tw::common::sizesMayAgree;

/// (c1), (c2) of the norms: a weight is a vector over the last dimension.
static LogicalResult verifyNorm(Operation *op, RankedTensorType input, ValueRange weights) {
  if (input.getRank() == 0)
    return op->emitOpError("(c1) input needs at least one dimension");
  for (Value weight : weights) {
    auto type = cast<RankedTensorType>(weight.getType());
    if (type.getRank() != 1 || type.getElementType() != input.getElementType() ||
        !sizesMayAgree(type.getDimSize(0), input.getShape().back()))
      return op->emitOpError("(c2) ") << type << " does not fit the last dimension of " << input;
  }
  return success();
}

LogicalResult LayerNormOp::verify() {
  SmallVector<Value> weights;
  for (Value weight : {Value(getWeight()), Value(getBias())})
    if (weight)
      weights.push_back(weight);
  return verifyNorm(*this, getType(), weights);
}

LogicalResult RmsNormOp::verify() { return verifyNorm(*this, getType(), ValueRange(getWeight())); }

//===----------------------------------------------------------------------===//
// attention
//===----------------------------------------------------------------------===//
LogicalResult AttentionOp::inferReturnTypes(MLIRContext *, std::optional<Location> loc, Adaptor adaptor,
                                            SmallVectorImpl<Type> &types) {
  auto q = dyn_cast<RankedTensorType>(adaptor.getQ().getType());
  auto k = dyn_cast<RankedTensorType>(adaptor.getK().getType());
  auto v = dyn_cast<RankedTensorType>(adaptor.getV().getType());
  StringRef name = getOperationName();
  if (!q || !k || !v || q.getRank() != 4 || k.getRank() != 4 || v.getRank() != 4 ||
      q.getElementType() != k.getElementType() || q.getElementType() != v.getElementType())
    return inferError(loc, name, "(c1) q, k and v must have rank 4 and one element type");
  int64_t heads = q.getDimSize(1), shared = k.getDimSize(1);
  bool agree = sizesMayAgree(q.getDimSize(0), k.getDimSize(0)) && sizesMayAgree(q.getDimSize(0), v.getDimSize(0)) &&
               sizesMayAgree(q.getDimSize(3), k.getDimSize(3)) && sizesMayAgree(k.getDimSize(2), v.getDimSize(2));
  if (!agree || heads < 0 || shared <= 0 || v.getDimSize(1) != shared || heads % shared)
    return inferError(loc, name, "(c2) batch, heads, keys or head sizes of q, k and v do not fit");
  if (Value mask = adaptor.getMask()) {
    auto type = dyn_cast<RankedTensorType>(mask.getType());
    auto repeats = [&](int64_t dim) {
      return type.getDimSize(dim) == 1 || sizesMayAgree(type.getDimSize(dim), q.getDimSize(dim));
    };
    if (!type || type.getRank() != 4 || type.getElementType() != q.getElementType() || !repeats(0) || !repeats(1) ||
        type.isDynamicDim(1) || !sizesMayAgree(type.getDimSize(2), q.getDimSize(2)) ||
        !sizesMayAgree(type.getDimSize(3), k.getDimSize(2)))
      return inferError(loc, name, "(c3) mask must have shape [B or 1, H or 1, S, T] and the element type of q");
  }
  types.push_back(q.clone({q.getDimSize(0), heads, q.getDimSize(2), v.getDimSize(3)}));
  return success();
}

LogicalResult AttentionOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  SmallVector<OpFoldResult> sizes = common::dimSizes(builder, getLoc(), getQ());
  sizes[3] = common::dimSize(builder, getLoc(), getV(), 3);
  shapes.push_back(sizes);
  return success();
}

//===----------------------------------------------------------------------===//
// rope
//===----------------------------------------------------------------------===//
LogicalResult RopeOp::verify() {
  RankedTensorType type = getType(), angles = getCos().getType();
  int64_t rank = type.getRank();
  if (rank < 2 || type.isDynamicDim(rank - 1) || type.getDimSize(rank - 1) % 2)
    return emitOpError("(c1) input must have two dimensions or more, the last static and even, not ") << type;
  if (angles.getRank() != 2 || !sizesMayAgree(angles.getDimSize(0), type.getDimSize(rank - 2)) ||
      angles.getDimSize(1) != type.getDimSize(rank - 1) / 2)
    return emitOpError("(c2) cos and sin must have shape [S, D/2] for ") << type << ", not " << angles;
  if (angles.getElementType() != type.getElementType())
    return emitOpError("(c3) all element types must be equal");
  return success();
}

// Loops: the leading dimensions, then (half, pair), or (pair, half) if interleaved. Both members of a pair are read
// through a box of the input of their own, so that every map is a projection.
static int64_t halfLoop(RopeOp op) { return op.getType().getRank() - (op.getInterleaved() ? 0 : 1); }
static int64_t pairLoop(RopeOp op) { return op.getType().getRank() - (op.getInterleaved() ? 1 : 0); }

SmallVector<Value> RopeOp::getLoopInputs(OpBuilder &builder, Location loc, ValueRange operands) {
  auto type = cast<RankedTensorType>(operands[0].getType());
  int64_t last = type.getRank() - 1, half = type.getDimSize(last) / 2;
  SmallVector<OpFoldResult> sizes = common::dimSizes(builder, loc, operands[0]);
  SmallVector<OpFoldResult> offsets(type.getRank(), builder.getIndexAttr(0));
  SmallVector<OpFoldResult> strides(type.getRank(), builder.getIndexAttr(1));
  sizes[last] = builder.getIndexAttr(half);
  if (getInterleaved())
    strides[last] = builder.getIndexAttr(2);
  Value first = tensor::ExtractSliceOp::create(builder, loc, operands[0], offsets, sizes, strides);
  offsets[last] = builder.getIndexAttr(getInterleaved() ? 1 : half);
  Value second = tensor::ExtractSliceOp::create(builder, loc, operands[0], offsets, sizes, strides);
  return {first, second, operands[1], operands[2]};
}

SmallVector<AffineMap> RopeOp::getLoopMaps() {
  MLIRContext *context = getContext();
  int64_t rank = getType().getRank();
  SmallVector<AffineExpr> input;
  for (int64_t dim = 0; dim < rank - 1; ++dim)
    input.push_back(getAffineDimExpr(dim, context));
  SmallVector<AffineExpr> angles{input.back(), getAffineDimExpr(pairLoop(*this), context)};
  input.push_back(angles.back());
  AffineMap inputMap = AffineMap::get(rank + 1, 0, input, context);
  AffineMap angleMap = AffineMap::get(rank + 1, 0, angles, context);
  return {inputMap, inputMap, angleMap, angleMap, AffineMap::getMultiDimIdentityMap(rank + 1, context)};
}

OpFoldResult RopeOp::getLoopSize(OpBuilder &builder, Location, unsigned, ValueRange) { return builder.getIndexAttr(2); }

Type RopeOp::getLoopElementType(unsigned) { return getType().getElementType(); }

SmallVector<Value> RopeOp::buildLoopBody(OpBuilder &builder, Location loc, ValueRange scalars, ValueRange) {
  Type element = getType().getElementType(), wide = common::accumulatorType(element);
  ScalarBuilder narrow(builder, loc, element), s(builder, loc, wide);
  SmallVector<Value> values;
  for (Value scalar : scalars.take_front(4))
    values.push_back(narrow.cast(scalar, wide));
  Value half = linalg::IndexOp::create(builder, loc, halfLoop(*this));
  Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
  Value isFirst = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, half, zero);
  Value first = s.sub(s.mul(values[0], values[2]), s.mul(values[1], values[3]));
  Value second = s.add(s.mul(values[1], values[2]), s.mul(values[0], values[3]));
  return {s.cast(s.select(isFirst, first, second), element)};
}

Value RopeOp::finishLoopResult(OpBuilder &builder, Location loc, Value output) {
  int64_t rank = getType().getRank();
  SmallVector<ReassociationIndices> parts;
  for (int64_t dim = 0; dim < rank; ++dim)
    parts.push_back({dim});
  parts.back().push_back(rank);
  return tensor::CollapseShapeOp::create(builder, loc, output, parts);
}
