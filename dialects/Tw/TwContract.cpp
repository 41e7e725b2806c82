//===- TwContract.cpp - Contractions and windows ----------------------------===//
#include "Tw/OpSupport.h"
#include "Tw/TwDialect.h"

#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace tilewright::tw;
using tilewright::tw::common::inferError;
using tilewright::tw::common::sizesMayAgree;

/// Whether `precision` is one that factors of type `element` can be rounded to, or is not given.
static bool isPrecision(std::optional<StringRef> precision, Type element) {
  return !precision || (*precision == kTf32 && element.isF32());
}

/// acc + a * b with `a` and `b` of type `element`, widened to the accumulator. `precision` becomes a mark of the product,
/// which goes wherever its formula goes.
static Value multiplyAdd(OpBuilder &builder, Location loc, Type element, Type accumulator, Value a, Value b, Value acc,
                         StringAttr precision) {
  ScalarBuilder narrow(builder, loc, element);
  Value product =
      ScalarBuilder(builder, loc, accumulator).mul(narrow.cast(a, accumulator), narrow.cast(b, accumulator));
  if (precision)
    product.getDefiningOp()->setDiscardableAttr(kPrecision, precision);
  return ScalarBuilder(builder, loc, accumulator, /*combining=*/true).add(acc, product);
}

//===----------------------------------------------------------------------===//
// dot_general
//===----------------------------------------------------------------------===//
namespace {
/// The loops of a contraction, in their order: batch, free of lhs, free of rhs, contracted.
struct Contraction {
  explicit Contraction(DotGeneralOp op)
      : lhsFree(freeDims(op.getLhs().getType(), op.getLhsBatch(), op.getLhsContract())),
        rhsFree(freeDims(op.getRhs().getType(), op.getRhsBatch(), op.getRhsContract())) {}

  static SmallVector<int64_t> freeDims(RankedTensorType type, ArrayRef<int64_t> batch, ArrayRef<int64_t> contract) {
    SmallVector<int64_t> dims;
    for (int64_t dim = 0; dim < type.getRank(); ++dim)
      if (!llvm::is_contained(batch, dim) && !llvm::is_contained(contract, dim))
        dims.push_back(dim);
    return dims;
  }

  SmallVector<int64_t> lhsFree, rhsFree;
};
} // namespace

/// (c1) `batch` and `contract` name dimensions of `type`, each once.
static LogicalResult verifyDims(DotGeneralOp op, RankedTensorType type, ArrayRef<int64_t> batch,
                                ArrayRef<int64_t> contract) {
  llvm::SmallDenseSet<int64_t> seen;
  for (ArrayRef<int64_t> dims : {batch, contract})
    for (int64_t dim : dims)
      if (dim < 0 || dim >= type.getRank() || !seen.insert(dim).second)
        return op.emitOpError("(c1) dimension ") << dim << " does not exist in " << type << " or is named twice";
  return success();
}

LogicalResult DotGeneralOp::verify() {
  RankedTensorType lhs = getLhs().getType(), rhs = getRhs().getType(), result = getType();
  if (failed(verifyDims(*this, lhs, getLhsBatch(), getLhsContract())) ||
      failed(verifyDims(*this, rhs, getRhsBatch(), getRhsContract())))
    return failure();
  if (getLhsBatch().size() != getRhsBatch().size() || getLhsContract().size() != getRhsContract().size())
    return emitOpError("(c2) batch lists and contraction lists must have equal length");
  SmallVector<int64_t> shape;
  auto checkPair = [&](int64_t a, int64_t b) -> LogicalResult {
    if (!sizesMayAgree(lhs.getDimSize(a), rhs.getDimSize(b)))
      return emitOpError("(c3) dimension ") << a << " of lhs and dimension " << b << " of rhs differ in size";
    return success();
  };
  for (auto [a, b] : llvm::zip(getLhsBatch(), getRhsBatch())) {
    if (failed(checkPair(a, b)))
      return failure();
    shape.push_back(lhs.isDynamicDim(a) ? rhs.getDimSize(b) : lhs.getDimSize(a));
  }
  for (auto [a, b] : llvm::zip(getLhsContract(), getRhsContract()))
    if (failed(checkPair(a, b)))
      return failure();
  Contraction loops(*this);
  for (int64_t dim : loops.lhsFree)
    shape.push_back(lhs.getDimSize(dim));
  for (int64_t dim : loops.rhsFree)
    shape.push_back(rhs.getDimSize(dim));
  if (failed(verifyCompatibleShape(result.getShape(), shape)))
    return emitOpError("(c4) the result must have shape ") << RankedTensorType::get(shape, result.getElementType());
  Type from = lhs.getElementType(), to = result.getElementType();
  bool sameKind = isa<FloatType>(from) == isa<FloatType>(to) && from.isUnsignedInteger() == to.isUnsignedInteger();
  if (from != rhs.getElementType() || !sameKind || to.getIntOrFloatBitWidth() < from.getIntOrFloatBitWidth())
    return emitOpError("(c5) element types ") << from << ", " << rhs.getElementType() << " -> " << to << " do not fit";
  if (!isPrecision(getPrecision(), from) || !isPrecision(getPrecision(), to))
    return emitOpError("(c6) precision ") << getPrecisionAttr() << " does not exist for " << from << " -> " << to;
  return success();
}

SmallVector<AffineMap> DotGeneralOp::getLoopMaps() {
  MLIRContext *context = getContext();
  Contraction loops(*this);
  unsigned next = 0;
  SmallVector<AffineExpr> lhs(getLhs().getType().getRank()), rhs(getRhs().getType().getRank()), result;
  for (auto [a, b] : llvm::zip(getLhsBatch(), getRhsBatch()))
    result.push_back(lhs[a] = rhs[b] = getAffineDimExpr(next++, context));
  for (int64_t dim : loops.lhsFree)
    result.push_back(lhs[dim] = getAffineDimExpr(next++, context));
  for (int64_t dim : loops.rhsFree)
    result.push_back(rhs[dim] = getAffineDimExpr(next++, context));
  for (auto [a, b] : llvm::zip(getLhsContract(), getRhsContract()))
    lhs[a] = rhs[b] = getAffineDimExpr(next++, context);
  return {AffineMap::get(next, 0, lhs, context), AffineMap::get(next, 0, rhs, context),
          AffineMap::get(next, 0, result, context)};
}

SmallVector<utils::IteratorType> DotGeneralOp::getLoopIterators() {
  SmallVector<utils::IteratorType> iterators(getType().getRank(), utils::IteratorType::parallel);
  iterators.append(getLhsContract().size(), utils::IteratorType::reduction);
  return iterators;
}

Type DotGeneralOp::getLoopElementType(unsigned) { return common::accumulatorType(getType().getElementType()); }
TypedAttr DotGeneralOp::getLoopInit(unsigned) { return common::ReductionInit(getType().getElementType()).number(0); }

SmallVector<Value> DotGeneralOp::buildLoopBody(OpBuilder &builder, Location loc, ValueRange scalars, ValueRange) {
  return {multiplyAdd(builder, loc, getLhs().getType().getElementType(), getLoopElementType(0), scalars[0], scalars[1],
                      scalars[2], getPrecisionAttr())};
}

//===----------------------------------------------------------------------===//
// Windows: what conv and pool share
//===----------------------------------------------------------------------===//
/// The number of positions of a window, or '?'.
static int64_t windowPositions(int64_t size, int64_t window, int64_t stride, int64_t dilation, int64_t padding) {
  if (ShapedType::isDynamic(size))
    return size;
  int64_t room = size + padding - ((window - 1) * dilation + 1);
  return room < 0 ? 0 : room / stride + 1;
}

/// Whether each list has `count` entries that are at least `least`.
static bool fits(ArrayRef<ArrayRef<int64_t>> lists, size_t count, int64_t least) {
  return llvm::all_of(lists, [&](ArrayRef<int64_t> list) {
    return list.size() == count && llvm::all_of(list, [&](int64_t value) { return value >= least; });
  });
}

/// The number of positions of the window of `op` along spatial dimension `dim` of `input`.
template <typename Op>
static OpFoldResult positions(Op op, OpBuilder &builder, Location loc, Value input, ArrayRef<int64_t> window,
                              unsigned dim) {
  auto type = cast<RankedTensorType>(op.getType());
  if (!type.isDynamicDim(dim + 2))
    return builder.getIndexAttr(type.getDimSize(dim + 2));
  auto constant = [&](int64_t value) -> Value { return arith::ConstantIndexOp::create(builder, loc, value); };
  int64_t reach = (window[dim] - 1) * op.getDilations()[dim] + 1;
  Value size = DimOp::create(builder, loc, input, op.getInput().getType().getRank() - window.size() + dim);
  Value room = arith::AddIOp::create(builder, loc, size, constant(op.getLow()[dim] + op.getHigh()[dim] - reach));
  Value steps = arith::FloorDivSIOp::create(builder, loc, room, constant(op.getStrides()[dim]));
  Value count = arith::AddIOp::create(builder, loc, steps, constant(1));
  return arith::MaxSIOp::create(builder, loc, count, constant(0)).getResult();
}

static ArrayRef<int64_t> windowOf(ConvOp op) { return op.getFilter().getType().getShape().drop_front(2); }
static ArrayRef<int64_t> windowOf(PoolOp op) { return op.getWindow(); }

LogicalResult tilewright::tw::common::reifyWindowed(Operation *op, OpBuilder &builder,
                                                    ReifiedRankedShapedTypeDims &shapes) {
  auto reify = [&](auto windowed, OpFoldResult channels) {
    SmallVector<OpFoldResult> sizes{dimSize(builder, op->getLoc(), windowed.getInput(), 0), channels};
    for (unsigned dim = 0; dim < windowOf(windowed).size(); ++dim)
      sizes.push_back(positions(windowed, builder, op->getLoc(), windowed.getInput(), windowOf(windowed), dim));
    shapes.push_back(sizes);
    return success();
  };
  if (auto conv = dyn_cast<ConvOp>(op))
    return reify(conv, builder.getIndexAttr(conv.getType().getDimSize(1)));
  auto pool = cast<PoolOp>(op);
  return reify(pool, dimSize(builder, op->getLoc(), pool.getInput(), 1));
}

/// `input` with a border of `value` around its spatial dimensions.
static Value padSpatial(OpBuilder &builder, Location loc, Value input, TypedAttr value, ArrayRef<int64_t> low,
                        ArrayRef<int64_t> high) {
  auto type = RankedTensorType::get({}, cast<RankedTensorType>(input.getType()).getElementType());
  Value border = arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(type, Attribute(value)));
  SmallVector<int64_t> before{0, 0}, after{0, 0};
  llvm::append_range(before, low);
  llvm::append_range(after, high);
  return PadOp::create(builder, loc, input, border, before, after);
}

static bool anyPositive(ArrayRef<int64_t> values) {
  return llvm::any_of(values, [](int64_t value) { return value > 0; });
}

//===----------------------------------------------------------------------===//
// conv
//===----------------------------------------------------------------------===//
LogicalResult ConvOp::inferReturnTypes(MLIRContext *, std::optional<Location> loc, Adaptor adaptor,
                                       SmallVectorImpl<Type> &types) {
  auto input = dyn_cast<RankedTensorType>(adaptor.getInput().getType());
  auto filter = dyn_cast<RankedTensorType>(adaptor.getFilter().getType());
  StringRef name = getOperationName();
  if (!input || !filter || input.getRank() < 3 || filter.getRank() != input.getRank() ||
      input.getElementType() != filter.getElementType())
    return inferError(loc, name, "(c1) input and filter must have one rank >= 3 and one element type");
  size_t spatial = input.getRank() - 2;
  if (!fits({adaptor.getStrides(), adaptor.getDilations()}, spatial, 1) ||
      !fits({adaptor.getLow(), adaptor.getHigh()}, spatial, 0))
    return inferError(loc, name, "(c2) strides, dilations and paddings need one valid entry per spatial dimension");
  int64_t groups = adaptor.getGroups(), channels = input.getDimSize(1), outputs = filter.getDimSize(0);
  if (groups < 1 || channels < 0 || outputs < 0 || channels % groups || outputs % groups ||
      filter.getDimSize(1) != channels / groups)
    return inferError(loc, name, "(c3) groups must divide the channels, and filter must have channels / groups");
  SmallVector<int64_t> shape{input.getDimSize(0), outputs};
  for (size_t dim = 0; dim < spatial; ++dim) {
    int64_t size = windowPositions(input.getDimSize(dim + 2), filter.getDimSize(dim + 2), adaptor.getStrides()[dim],
                                   adaptor.getDilations()[dim], adaptor.getLow()[dim] + adaptor.getHigh()[dim]);
    if (filter.isDynamicDim(dim + 2) || (!ShapedType::isDynamic(size) && size < 1))
      return inferError(loc, name, "(c4) the window does not fit dimension " + Twine(dim + 2) + " of the input");
    shape.push_back(size);
  }
  if (!isPrecision(adaptor.getPrecision(), input.getElementType()))
    return inferError(loc, name, "(c5) precision must be tf32, and the operands f32");
  types.push_back(input.clone(shape));
  return success();
}

bool ConvOp::isComposite() { return anyPositive(getLow()) || anyPositive(getHigh()); }

FailureOr<SmallVector<Value>> ConvOp::decompose(OpBuilder &builder) {
  TypedAttr zero = builder.getZeroAttr(getInput().getType().getElementType());
  Value padded = padSpatial(builder, getLoc(), getInput(), zero, getLow(), getHigh());
  SmallVector<int64_t> none(getLow().size(), 0);
  return SmallVector<Value>{ConvOp::create(builder, getLoc(), getType(), padded, getFilter(), getStrides(),
                                           getDilations(), none, none, getGroups(), getPrecisionAttr())};
}

/// Splits dimension `dim` of `value` into `groups` and the rest.
static Value splitDim(OpBuilder &builder, Location loc, Value value, int64_t dim, int64_t groups) {
  auto type = cast<RankedTensorType>(value.getType());
  SmallVector<OpFoldResult> sizes = common::dimSizes(builder, loc, value);
  SmallVector<int64_t> shape(type.getShape());
  shape[dim] /= groups;
  sizes[dim] = builder.getIndexAttr(shape[dim]);
  shape.insert(shape.begin() + dim, groups);
  sizes.insert(sizes.begin() + dim, builder.getIndexAttr(groups));
  SmallVector<ReassociationIndices> parts;
  for (int64_t from = 0, to = 0; from < type.getRank(); ++from) {
    auto &part = parts.emplace_back();
    part.push_back(to++);
    if (from == dim)
      part.push_back(to++);
  }
  return tensor::ExpandShapeOp::create(builder, loc, type.clone(shape), value, parts, sizes);
}

SmallVector<Value> ConvOp::getLoopInputs(OpBuilder &builder, Location loc, ValueRange operands) {
  int64_t groups = getGroups();
  if (groups == 1)
    return {operands[0], operands[1]};
  return {splitDim(builder, loc, operands[0], 1, groups), splitDim(builder, loc, operands[1], 0, groups)};
}

SmallVector<AffineMap> ConvOp::getLoopMaps() {
  // Loops: batch, [group,] output channel, positions, input channel, window.
  MLIRContext *context = getContext();
  unsigned spatial = getStrides().size(), next = 0, grouped = getGroups() != 1;
  auto loop = [&] { return getAffineDimExpr(next++, context); };
  AffineExpr batch = loop(), group = grouped ? loop() : AffineExpr(), output = loop();
  SmallVector<AffineExpr> positions, window;
  for (unsigned dim = 0; dim < spatial; ++dim)
    positions.push_back(loop());
  AffineExpr channel = loop();
  for (unsigned dim = 0; dim < spatial; ++dim)
    window.push_back(loop());
  SmallVector<AffineExpr> input{batch}, filter, result{batch};
  if (grouped) {
    input.push_back(group);
    filter.push_back(group);
    result.push_back(group);
  }
  input.push_back(channel);
  filter.push_back(output);
  filter.push_back(channel);
  result.push_back(output);
  for (unsigned dim = 0; dim < spatial; ++dim) {
    input.push_back(positions[dim] * getStrides()[dim] + window[dim] * getDilations()[dim]);
    filter.push_back(window[dim]);
    result.push_back(positions[dim]);
  }
  return {AffineMap::get(next, 0, input, context), AffineMap::get(next, 0, filter, context),
          AffineMap::get(next, 0, result, context)};
}

SmallVector<utils::IteratorType> ConvOp::getLoopIterators() {
  unsigned spatial = getStrides().size(), grouped = getGroups() != 1;
  SmallVector<utils::IteratorType> iterators(2 + grouped + spatial, utils::IteratorType::parallel);
  iterators.append(1 + spatial, utils::IteratorType::reduction);
  return iterators;
}

OpFoldResult ConvOp::getLoopSize(OpBuilder &builder, Location loc, unsigned loop, ValueRange operands) {
  unsigned first = getGroups() != 1 ? 3 : 2;
  return positions(*this, builder, loc, operands[0], windowOf(*this), loop - first);
}

Type ConvOp::getLoopElementType(unsigned) { return common::accumulatorType(getType().getElementType()); }
TypedAttr ConvOp::getLoopInit(unsigned) { return common::ReductionInit(getType().getElementType()).number(0); }

SmallVector<Value> ConvOp::buildLoopBody(OpBuilder &builder, Location loc, ValueRange scalars, ValueRange) {
  return {multiplyAdd(builder, loc, getInput().getType().getElementType(), getLoopElementType(0), scalars[0],
                      scalars[1], scalars[2], getPrecisionAttr())};
}

Value ConvOp::finishLoopResult(OpBuilder &builder, Location loc, Value output) {
  if (getGroups() == 1)
    return output;
  SmallVector<ReassociationIndices> parts{{0}, {1, 2}};
  for (unsigned dim = 0; dim < getStrides().size(); ++dim)
    parts.push_back({(int64_t)dim + 3});
  return tensor::CollapseShapeOp::create(builder, loc, output, parts);
}

//===----------------------------------------------------------------------===//
// pool
//===----------------------------------------------------------------------===//
LogicalResult PoolOp::inferReturnTypes(MLIRContext *, std::optional<Location> loc, Adaptor adaptor,
                                       SmallVectorImpl<Type> &types) {
  auto input = dyn_cast<RankedTensorType>(adaptor.getInput().getType());
  StringRef name = getOperationName();
  if (!input || input.getRank() < 3)
    return inferError(loc, name, "(c1) input must have rank 3 or more");
  size_t spatial = input.getRank() - 2;
  if (!fits({adaptor.getWindow(), adaptor.getStrides(), adaptor.getDilations()}, spatial, 1) ||
      !fits({adaptor.getLow(), adaptor.getHigh()}, spatial, 0))
    return inferError(loc, name,
                      "(c2) window, strides, dilations and paddings need one valid entry per spatial dimension");
  if (adaptor.getKind() != "max" && adaptor.getKind() != "sum")
    return inferError(loc, name, "(c3) kind must be max or sum, not \"" + adaptor.getKind() + "\"");
  SmallVector<int64_t> shape(input.getShape().take_front(2));
  for (size_t dim = 0; dim < spatial; ++dim) {
    int64_t size = windowPositions(input.getDimSize(dim + 2), adaptor.getWindow()[dim], adaptor.getStrides()[dim],
                                   adaptor.getDilations()[dim], adaptor.getLow()[dim] + adaptor.getHigh()[dim]);
    if (!ShapedType::isDynamic(size) && size < 1)
      return inferError(loc, name, "(c4) the window does not fit dimension " + Twine(dim + 2) + " of the input");
    shape.push_back(size);
  }
  types.push_back(input.clone(shape));
  return success();
}

bool PoolOp::isComposite() { return anyPositive(getLow()) || anyPositive(getHigh()); }

/// What a window starts from and what its border holds, in the element type itself.
static TypedAttr neutral(PoolOp op, Builder &builder) {
  Type element = op.getType().getElementType();
  if (op.getKind() == "sum")
    return builder.getZeroAttr(element);
  if (auto real = dyn_cast<FloatType>(element))
    return FloatAttr::get(real, APFloat::getInf(real.getFloatSemantics(), /*Negative=*/true));
  unsigned width = element.getIntOrFloatBitWidth();
  return IntegerAttr::get(element,
                          element.isUnsignedInteger() ? APInt::getZero(width) : APInt::getSignedMinValue(width));
}

FailureOr<SmallVector<Value>> PoolOp::decompose(OpBuilder &builder) {
  Value padded = padSpatial(builder, getLoc(), getInput(), neutral(*this, builder), getLow(), getHigh());
  SmallVector<int64_t> none(getLow().size(), 0);
  return SmallVector<Value>{PoolOp::create(builder, getLoc(), getType(), padded, getKind(), getWindow(), getStrides(),
                                           getDilations(), none, none)};
}

// The window has no tensor of its own: an empty one gives the loops their sizes.
SmallVector<Value> PoolOp::getLoopInputs(OpBuilder &builder, Location loc, ValueRange operands) {
  Value window = tensor::EmptyOp::create(builder, loc, getWindow(), common::signlessElementType(getType()));
  return {operands[0], window};
}

SmallVector<AffineMap> PoolOp::getLoopMaps() {
  // Loops: batch, channel, positions, window.
  MLIRContext *context = getContext();
  unsigned spatial = getWindow().size(), loops = 2 + 2 * spatial;
  auto loop = [&](unsigned index) { return getAffineDimExpr(index, context); };
  SmallVector<AffineExpr> input{loop(0), loop(1)}, window, result(input);
  for (unsigned dim = 0; dim < spatial; ++dim) {
    input.push_back(loop(2 + dim) * getStrides()[dim] + loop(2 + spatial + dim) * getDilations()[dim]);
    window.push_back(loop(2 + spatial + dim));
    result.push_back(loop(2 + dim));
  }
  return {AffineMap::get(loops, 0, input, context), AffineMap::get(loops, 0, window, context),
          AffineMap::get(loops, 0, result, context)};
}

SmallVector<utils::IteratorType> PoolOp::getLoopIterators() {
  SmallVector<utils::IteratorType> iterators(2 + getWindow().size(), utils::IteratorType::parallel);
  iterators.append(getWindow().size(), utils::IteratorType::reduction);
  return iterators;
}

OpFoldResult PoolOp::getLoopSize(OpBuilder &builder, Location loc, unsigned loop, ValueRange operands) {
  return positions(*this, builder, loc, operands[0], getWindow(), loop - 2);
}

Type PoolOp::getLoopElementType(unsigned) { return common::accumulatorType(getType().getElementType()); }

TypedAttr PoolOp::getLoopInit(unsigned) {
  common::ReductionInit init(getType().getElementType());
  return getKind() == "sum" ? init.number(0) : init.lowest();
}

SmallVector<Value> PoolOp::buildLoopBody(OpBuilder &builder, Location loc, ValueRange scalars, ValueRange) {
  return common::combine(
      builder, loc, getType().getElementType(), {scalars[0], scalars[2]},
      [&](ScalarBuilder &s, Value x, Value total) { return getKind() == "sum" ? s.add(total, x) : s.max(total, x); });
}
