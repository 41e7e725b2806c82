//===- TwShape.cpp - Ops that move elements ---------------------------------===//
#include "Tw/OpSupport.h"
#include "Tw/TwDialect.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace tilewright::tw;
using tilewright::tw::common::inferError;
using tilewright::tw::common::sizesMayAgree;

/// One value in `sizes` per '?' dimension of `type`; `label` is the constraint's.
static LogicalResult verifySizes(Operation *op, RankedTensorType type, ValueRange sizes, StringRef label) {
  if ((int64_t)sizes.size() != type.getNumDynamicDims())
    return op->emitOpError() << label << " expects " << type.getNumDynamicDims() << " sizes for the '?' dimensions of "
                             << type << ", got " << sizes.size();
  return success();
}

/// The position among the '?' dimensions of `type` of its dimension `dim`.
static unsigned dynamicIndex(RankedTensorType type, int64_t dim) {
  return llvm::count_if(type.getShape().take_front(dim), ShapedType::isDynamic);
}

static OpFoldResult givenSize(OpBuilder &builder, RankedTensorType type, ValueRange sizes, int64_t dim) {
  if (type.isDynamicDim(dim))
    return sizes[dynamicIndex(type, dim)];
  return builder.getIndexAttr(type.getDimSize(dim));
}

static SmallVector<Value> copyScalar(ValueRange scalars) { return {scalars.front()}; }

//===----------------------------------------------------------------------===//
// broadcast
//===----------------------------------------------------------------------===//
LogicalResult BroadcastOp::verify() {
  RankedTensorType from = getInput().getType(), to = getType();
  ArrayRef<int64_t> dims = getDims();
  if ((int64_t)dims.size() != from.getRank())
    return emitOpError("(c1) dims must have one entry per dimension of ") << from;
  for (auto [index, dim] : llvm::enumerate(dims)) {
    if (dim < 0 || dim >= to.getRank() || (index && dim <= dims[index - 1]))
      return emitOpError("(c1) dims must increase and name dimensions of the result, but ") << dim << " does not";
    int64_t size = from.getDimSize(index), target = to.getDimSize(dim);
    if (size != 1 && !sizesMayAgree(size, target))
      return emitOpError("(c2) dimension ") << index << " of size " << size << " cannot become size " << target;
  }
  if (from.getElementType() != to.getElementType())
    return emitOpError("(c4) input and result must have the same element type");
  return verifySizes(*this, to, getSizes(), "(c3)");
}

SmallVector<AffineMap> BroadcastOp::getLoopMaps() {
  MLIRContext *context = getContext();
  SmallVector<AffineExpr> exprs;
  for (auto [index, dim] : llvm::enumerate(getDims())) {
    bool repeats = getInput().getType().getDimSize(index) == 1 && getType().getDimSize(dim) != 1;
    exprs.push_back(repeats ? getAffineConstantExpr(0, context) : getAffineDimExpr(dim, context));
  }
  int64_t rank = getType().getRank();
  return {AffineMap::get(rank, 0, exprs, context), AffineMap::getMultiDimIdentityMap(rank, context)};
}

OpFoldResult BroadcastOp::getLoopSize(OpBuilder &builder, Location, unsigned loop, ValueRange operands) {
  return givenSize(builder, getType(), operands.drop_front(), loop);
}

SmallVector<Value> BroadcastOp::buildLoopBody(OpBuilder &, Location, ValueRange scalars, ValueRange) {
  return copyScalar(scalars);
}

OpFoldResult BroadcastOp::fold(FoldAdaptor) {
  return getInput().getType() == getType() && getType().hasStaticShape() ? getInput() : OpFoldResult();
}

namespace {
/// broadcast(broadcast(x)) is one broadcast.
struct MergeBroadcasts : OpRewritePattern<BroadcastOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(BroadcastOp op, PatternRewriter &rewriter) const override {
    auto inner = op.getInput().getDefiningOp<BroadcastOp>();
    if (!inner)
      return rewriter.notifyMatchFailure(op, "the operand is not a broadcast");
    SmallVector<int64_t> dims;
    for (int64_t dim : inner.getDims())
      dims.push_back(op.getDims()[dim]);
    rewriter.replaceOpWithNewOp<BroadcastOp>(op, op.getType(), inner.getInput(), op.getSizes(),
                                             rewriter.getDenseI64ArrayAttr(dims));
    return success();
  }
};
} // namespace

void BroadcastOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<MergeBroadcasts>(context);
}

//===----------------------------------------------------------------------===//
// transpose
//===----------------------------------------------------------------------===//
LogicalResult TransposeOp::inferReturnTypes(MLIRContext *, std::optional<Location> loc, Adaptor adaptor,
                                            SmallVectorImpl<Type> &types) {
  auto input = dyn_cast<RankedTensorType>(adaptor.getInput().getType());
  ArrayRef<int64_t> permutation = adaptor.getPermutation();
  if (!input || (int64_t)permutation.size() != input.getRank() || !isPermutationVector(permutation))
    return inferError(loc, getOperationName(), "(c1) permutation must be one of the dimensions of the input");
  types.push_back(input.clone(applyPermutation(input.getShape(), permutation)));
  return success();
}

SmallVector<AffineMap> TransposeOp::getLoopMaps() {
  // The loops run over the result: the input is read through the inverse permutation.
  AffineMap map = AffineMap::getPermutationMap(getPermutation(), getContext());
  return {inversePermutation(map), AffineMap::getMultiDimIdentityMap(getType().getRank(), getContext())};
}

SmallVector<Value> TransposeOp::buildLoopBody(OpBuilder &, Location, ValueRange scalars, ValueRange) {
  return copyScalar(scalars);
}

OpFoldResult TransposeOp::fold(FoldAdaptor) {
  return isIdentityPermutation(getPermutation()) ? getInput() : OpFoldResult();
}

namespace {
/// transpose(transpose(x)) is one transposition.
struct MergeTransposes : OpRewritePattern<TransposeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(TransposeOp op, PatternRewriter &rewriter) const override {
    auto inner = op.getInput().getDefiningOp<TransposeOp>();
    if (!inner)
      return rewriter.notifyMatchFailure(op, "the operand is not a transposition");
    SmallVector<int64_t> permutation = applyPermutation(inner.getPermutation(), op.getPermutation());
    rewriter.replaceOpWithNewOp<TransposeOp>(op, op.getType(), inner.getInput(), permutation);
    return success();
  }
};
} // namespace

void TransposeOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<MergeTransposes>(context);
}

//===----------------------------------------------------------------------===//
// reshape
//===----------------------------------------------------------------------===//
LogicalResult ReshapeOp::verify() {
  RankedTensorType from = getInput().getType(), to = getType();
  if (from.getElementType() != to.getElementType())
    return emitOpError("(c1) input and result must have the same element type");
  if (failed(verifySizes(*this, to, getSizes(), "(c2)")))
    return failure();
  if (from.hasStaticShape() && to.hasStaticShape() && from.getNumElements() != to.getNumElements())
    return emitOpError("(c3) ") << from << " and " << to << " have different numbers of elements";
  return success();
}

LogicalResult ReshapeOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(common::mixSizes(builder, getType(), getSizes()));
  return success();
}

OpFoldResult ReshapeOp::fold(FoldAdaptor) {
  // One '?' is determined by the rest: the same type then means the same shape.
  return getInput().getType() == getType() && getType().getNumDynamicDims() <= 1 ? getInput() : OpFoldResult();
}

namespace {
/// reshape(reshape(x)) is one reshape.
struct MergeReshapes : OpRewritePattern<ReshapeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReshapeOp op, PatternRewriter &rewriter) const override {
    auto inner = op.getInput().getDefiningOp<ReshapeOp>();
    if (!inner)
      return rewriter.notifyMatchFailure(op, "the operand is not a reshape");
    rewriter.replaceOpWithNewOp<ReshapeOp>(op, op.getType(), inner.getInput(), op.getSizes());
    return success();
  }
};
} // namespace

void ReshapeOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<MergeReshapes>(context);
}

//===----------------------------------------------------------------------===//
// slice, update_slice
//===----------------------------------------------------------------------===//
LogicalResult SliceOp::verify() {
  RankedTensorType from = getInput().getType(), to = getType();
  size_t rank = from.getRank();
  if (getStaticOffsets().size() != rank || getStaticSizes().size() != rank || getStaticStrides().size() != rank ||
      (size_t)to.getRank() != rank)
    return emitOpError("(c1) needs one offset, size and stride per dimension of ") << from;
  if ((size_t)llvm::count_if(getStaticOffsets(), ShapedType::isDynamic) != getOffsets().size() ||
      (size_t)llvm::count_if(getStaticSizes(), ShapedType::isDynamic) != getSizes().size() ||
      (size_t)llvm::count_if(getStaticStrides(), ShapedType::isDynamic) != getStrides().size())
    return emitOpError("(c1) needs one value per dynamic offset, size and stride");
  for (size_t dim = 0; dim < rank; ++dim) {
    int64_t offset = getStaticOffsets()[dim], size = getStaticSizes()[dim], stride = getStaticStrides()[dim];
    if (!ShapedType::isDynamic(stride) && stride <= 0)
      return emitOpError("(c2) the stride of dimension ") << dim << " must be positive, not " << stride;
    if (to.getDimSize(dim) != size)
      return emitOpError("(c4) dimension ") << dim << " of the result does not have the size of the box";
    bool known = !ShapedType::isDynamic(offset) && !ShapedType::isDynamic(size);
    if (known && (offset < 0 || size < 0))
      return emitOpError("(c3) dimension ") << dim << " has a negative offset or size";
    if (known && size > 0 && !ShapedType::isDynamic(stride) && !from.isDynamicDim(dim) &&
        offset + (size - 1) * stride >= from.getDimSize(dim))
      return emitOpError("(c3) the box ends outside dimension ") << dim << " of size " << from.getDimSize(dim);
  }
  if (from.getElementType() != to.getElementType())
    return emitOpError("(c4) input and result must have the same element type");
  return success();
}

LogicalResult SliceOp::reifyResultShapes(OpBuilder &, ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(getMixedSizes());
  return success();
}

OpFoldResult SliceOp::fold(FoldAdaptor) {
  auto isOne = [](int64_t value) { return value == 1; };
  auto isZero = [](int64_t value) { return value == 0; };
  bool whole = getInput().getType() == getType() && getType().hasStaticShape() &&
               llvm::all_of(getStaticOffsets(), isZero) && llvm::all_of(getStaticStrides(), isOne);
  return whole ? getInput() : OpFoldResult();
}

LogicalResult UpdateSliceOp::verify() {
  RankedTensorType whole = getInput().getType(), part = getUpdate().getType();
  if ((int64_t)getStaticOffsets().size() != whole.getRank() ||
      (size_t)llvm::count_if(getStaticOffsets(), ShapedType::isDynamic) != getOffsets().size())
    return emitOpError("(c1) needs one offset per dimension of ") << whole;
  if (part.getRank() != whole.getRank() || part.getElementType() != whole.getElementType())
    return emitOpError("(c2) update must have the rank and element type of the input");
  for (int64_t dim = 0; dim < whole.getRank(); ++dim)
    if (!whole.isDynamicDim(dim) && !part.isDynamicDim(dim) && part.getDimSize(dim) > whole.getDimSize(dim))
      return emitOpError("(c2) update is larger than the input in dimension ") << dim;
  return success();
}

//===----------------------------------------------------------------------===//
// concat, pad
//===----------------------------------------------------------------------===//
LogicalResult ConcatOp::inferReturnTypes(MLIRContext *, std::optional<Location> loc, Adaptor adaptor,
                                         SmallVectorImpl<Type> &types) {
  auto first = adaptor.getInputs().empty() ? RankedTensorType()
                                           : dyn_cast<RankedTensorType>(adaptor.getInputs().front().getType());
  int64_t axis = adaptor.getAxis();
  if (!first || axis < 0 || axis >= first.getRank())
    return inferError(loc, getOperationName(), "(c1) there must be an operand with dimension axis");
  SmallVector<int64_t> shape(first.getShape());
  shape[axis] = 0;
  for (Value input : adaptor.getInputs()) {
    auto type = dyn_cast<RankedTensorType>(input.getType());
    if (!type || type.getElementType() != first.getElementType() || type.getRank() != first.getRank())
      return inferError(loc, getOperationName(), "(c2) operands must have the same element type and rank");
    for (int64_t dim = 0; dim < type.getRank(); ++dim) {
      int64_t size = type.getDimSize(dim);
      if (dim == axis) {
        bool unknown = ShapedType::isDynamic(size) || ShapedType::isDynamic(shape[dim]);
        shape[dim] = unknown ? ShapedType::kDynamic : shape[dim] + size;
        continue;
      }
      if (!sizesMayAgree(size, shape[dim]))
        return inferError(loc, getOperationName(), "(c3) operands differ in dimension " + Twine(dim));
      if (ShapedType::isDynamic(shape[dim]))
        shape[dim] = size;
    }
  }
  types.push_back(first.clone(shape));
  return success();
}

LogicalResult ConcatOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  Location loc = getLoc();
  SmallVector<OpFoldResult> sizes;
  for (int64_t dim = 0; dim < getType().getRank(); ++dim) {
    if (!getType().isDynamicDim(dim)) {
      sizes.push_back(builder.getIndexAttr(getType().getDimSize(dim)));
      continue;
    }
    Value size;
    for (Value input : dim == (int64_t)getAxis() ? ValueRange(getInputs()) : ValueRange(getInputs()).take_front()) {
      Value part = getValueOrCreateConstantIndexOp(builder, loc, common::dimSize(builder, loc, input, dim));
      size = size ? arith::AddIOp::create(builder, loc, size, part).getResult() : part;
    }
    sizes.push_back(size);
  }
  shapes.push_back(sizes);
  return success();
}

OpFoldResult ConcatOp::fold(FoldAdaptor) { return getInputs().size() == 1 ? getInputs().front() : OpFoldResult(); }

LogicalResult PadOp::inferReturnTypes(MLIRContext *, std::optional<Location> loc, Adaptor adaptor,
                                      SmallVectorImpl<Type> &types) {
  auto input = dyn_cast<RankedTensorType>(adaptor.getInput().getType());
  ArrayRef<int64_t> low = adaptor.getLow(), high = adaptor.getHigh();
  auto isNegative = [](int64_t width) { return width < 0; };
  if (!input || (int64_t)low.size() != input.getRank() || low.size() != high.size() || llvm::any_of(low, isNegative) ||
      llvm::any_of(high, isNegative))
    return inferError(loc, getOperationName(), "(c1) low and high need one entry >= 0 per dimension of the input");
  if (getElementTypeOrSelf(adaptor.getValue().getType()) != input.getElementType())
    return inferError(loc, getOperationName(), "(c2) value must have the element type of the input");
  SmallVector<int64_t> shape(input.getShape());
  for (auto [dim, size] : llvm::enumerate(shape))
    if (!ShapedType::isDynamic(size))
      size += low[dim] + high[dim];
  types.push_back(input.clone(shape));
  return success();
}

LogicalResult PadOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  SmallVector<OpFoldResult> sizes;
  for (int64_t dim = 0; dim < getType().getRank(); ++dim) {
    OpFoldResult size = builder.getIndexAttr(getType().getDimSize(dim));
    if (getType().isDynamicDim(dim)) {
      Value inner = DimOp::create(builder, getLoc(), getInput(), dim);
      Value border = arith::ConstantIndexOp::create(builder, getLoc(), getLow()[dim] + getHigh()[dim]);
      size = arith::AddIOp::create(builder, getLoc(), inner, border).getResult();
    }
    sizes.push_back(size);
  }
  shapes.push_back(sizes);
  return success();
}

OpFoldResult PadOp::fold(FoldAdaptor) {
  auto isZero = [](int64_t width) { return width == 0; };
  return llvm::all_of(getLow(), isZero) && llvm::all_of(getHigh(), isZero) ? getInput() : OpFoldResult();
}

//===----------------------------------------------------------------------===//
// iota, flip
//===----------------------------------------------------------------------===//
LogicalResult IotaOp::verify() {
  if (failed(common::verifyAxis(*this, getType(), getAxis())))
    return failure();
  return verifySizes(*this, getType(), getSizes(), "(c2)");
}

SmallVector<AffineMap> IotaOp::getLoopMaps() {
  return {AffineMap::getMultiDimIdentityMap(getType().getRank(), getContext())};
}

OpFoldResult IotaOp::getLoopSize(OpBuilder &builder, Location, unsigned loop, ValueRange operands) {
  return givenSize(builder, getType(), operands, loop);
}

SmallVector<Value> IotaOp::buildLoopBody(OpBuilder &builder, Location loc, ValueRange, ValueRange) {
  Type element = getType().getElementType(), integer = common::signless(element);
  if (isa<FloatType>(element))
    integer = builder.getI64Type();
  Value index = linalg::IndexOp::create(builder, loc, getAxis());
  Value position = arith::IndexCastOp::create(builder, loc, integer, index);
  return {ScalarBuilder(builder, loc, integer).cast(position, isa<FloatType>(element) ? element : integer)};
}

LogicalResult FlipOp::verify() {
  ArrayRef<int64_t> axes = getAxes();
  for (auto [index, axis] : llvm::enumerate(axes))
    if (axis < 0 || axis >= getType().getRank() || (index && axis <= axes[index - 1]))
      return emitOpError("(c1) axes must exist and increase, but ") << axis << " does not fit " << getType();
  return success();
}

// The input is read in the body: an index that runs backwards is no map that tiling understands.
SmallVector<Value> FlipOp::getLoopInputs(OpBuilder &, Location, ValueRange) { return {}; }
SmallVector<AffineMap> FlipOp::getLoopMaps() {
  return {AffineMap::getMultiDimIdentityMap(getType().getRank(), getContext())};
}
OpFoldResult FlipOp::getLoopSize(OpBuilder &builder, Location loc, unsigned loop, ValueRange operands) {
  return common::dimSize(builder, loc, operands[0], loop);
}

SmallVector<Value> FlipOp::buildLoopBody(OpBuilder &builder, Location loc, ValueRange, ValueRange operands) {
  SmallVector<Value> position;
  for (int64_t dim = 0; dim < getType().getRank(); ++dim) {
    Value index = linalg::IndexOp::create(builder, loc, dim);
    if (llvm::is_contained(getAxes(), dim)) {
      Value size = getValueOrCreateConstantIndexOp(builder, loc, common::dimSize(builder, loc, operands[0], dim));
      Value last = arith::SubIOp::create(builder, loc, size, arith::ConstantIndexOp::create(builder, loc, 1));
      index = arith::SubIOp::create(builder, loc, last, index);
    }
    position.push_back(index);
  }
  return {tensor::ExtractOp::create(builder, loc, operands[0], position)};
}

OpFoldResult FlipOp::fold(FoldAdaptor) { return getAxes().empty() ? getInput() : OpFoldResult(); }

//===----------------------------------------------------------------------===//
// dim, to_index, from_index
//===----------------------------------------------------------------------===//
LogicalResult DimOp::verify() { return common::verifyAxis(*this, getInput().getType(), getAxis()); }

OpFoldResult DimOp::fold(FoldAdaptor) {
  RankedTensorType type = getInput().getType();
  int64_t axis = getAxis();
  if (axis < 0 || axis >= type.getRank() || type.isDynamicDim(axis))
    return {};
  return IntegerAttr::get(IndexType::get(getContext()), type.getDimSize(axis));
}

namespace {
/// Asks the producer of a tensor for the size, so that sizes depend on arguments only.
struct ResolveDimOfProducer : OpRewritePattern<DimOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(DimOp op, PatternRewriter &rewriter) const override {
    auto result = dyn_cast<OpResult>(op.getInput());
    auto producer = op.getInput().getDefiningOp<ReifyRankedShapedTypeOpInterface>();
    if (!producer || producer->getDialect() != op->getDialect())
      return rewriter.notifyMatchFailure(op, "the producer does not tell the sizes of its results");
    // Built where the producer stands: its operands need not dominate only the query.
    OpBuilder::InsertionGuard guard(rewriter);
    rewriter.setInsertionPoint(producer);
    ReifiedRankedShapedTypeDims shapes;
    if (failed(producer.reifyResultShapes(rewriter, shapes)))
      return rewriter.notifyMatchFailure(op, "the producer cannot tell the sizes of its results");
    OpFoldResult size = shapes[result.getResultNumber()][op.getAxis()];
    rewriter.replaceOp(op, getValueOrCreateConstantIndexOp(rewriter, op.getLoc(), size));
    return success();
  }
};
} // namespace

void DimOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<ResolveDimOfProducer>(context);
}

OpFoldResult ToIndexOp::fold(FoldAdaptor adaptor) {
  if (auto number = dyn_cast_or_null<DenseElementsAttr>(adaptor.getInput())) {
    APInt value = number.getSplatValue<APInt>();
    bool isUnsigned = number.getElementType().isUnsignedInteger();
    return IntegerAttr::get(IndexType::get(getContext()), isUnsigned ? value.getZExtValue() : value.getSExtValue());
  }
  auto inner = getInput().getDefiningOp<FromIndexOp>();
  return inner ? inner.getInput() : OpFoldResult();
}

LogicalResult FromIndexOp::inferReturnTypes(MLIRContext *context, std::optional<Location>, Adaptor,
                                            SmallVectorImpl<Type> &types) {
  types.push_back(RankedTensorType::get({}, IntegerType::get(context, 64)));
  return success();
}

LogicalResult FromIndexOp::reifyResultShapes(OpBuilder &, ReifiedRankedShapedTypeDims &shapes) {
  shapes.emplace_back();
  return success();
}

OpFoldResult FromIndexOp::fold(FoldAdaptor adaptor) {
  if (auto number = dyn_cast_or_null<IntegerAttr>(adaptor.getInput()))
    return DenseElementsAttr::get(cast<RankedTensorType>(getType()), APInt(64, number.getInt(), /*isSigned=*/true));
  return {};
}
