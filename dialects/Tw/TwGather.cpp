//===- TwGather.cpp - Gather and scatter ------------------------------------===//
#include "Tw/OpSupport.h"
#include "Tw/TwDialect.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace tilewright::tw;

LogicalResult GatherOp::inferReturnTypes(MLIRContext *, std::optional<Location> loc, Adaptor adaptor,
                                         SmallVectorImpl<Type> &types) {
  auto input = dyn_cast<RankedTensorType>(adaptor.getInput().getType());
  auto indices = dyn_cast<RankedTensorType>(adaptor.getIndices().getType());
  int64_t axis = adaptor.getAxis();
  if (!input || !indices || axis < 0 || axis >= input.getRank())
    return common::inferError(loc, getOperationName(), "(c1) axis " + Twine(axis) + " is not a dimension of the input");
  SmallVector<int64_t> shape(input.getShape());
  shape.erase(shape.begin() + axis);
  shape.insert(shape.begin() + axis, indices.getShape().begin(), indices.getShape().end());
  types.push_back(input.clone(shape));
  return success();
}

LogicalResult GatherOp::verify() {
  if (!llvm::is_contained({"clip", "wrap", "raise", "checked"}, getMode()))
    return emitOpError("(c2) mode must be clip, wrap, raise or checked, not \"") << getMode() << "\"";
  return success();
}

// The gathered tensor is read in the body, at positions that no map can state.
SmallVector<Value> GatherOp::getLoopInputs(OpBuilder &, Location, ValueRange operands) { return {operands[1]}; }

SmallVector<AffineMap> GatherOp::getLoopMaps() {
  MLIRContext *context = getContext();
  int64_t rank = getType().getRank();
  SmallVector<AffineExpr> exprs;
  for (int64_t dim = 0; dim < getIndices().getType().getRank(); ++dim)
    exprs.push_back(getAffineDimExpr(getAxis() + dim, context));
  return {AffineMap::get(rank, 0, exprs, context), AffineMap::getMultiDimIdentityMap(rank, context)};
}

OpFoldResult GatherOp::getLoopSize(OpBuilder &builder, Location loc, unsigned loop, ValueRange operands) {
  int64_t axis = getAxis(), taken = getIndices().getType().getRank();
  return common::dimSize(builder, loc, operands[0], loop < axis ? loop : loop - taken + 1);
}

SmallVector<Value> GatherOp::buildLoopBody(OpBuilder &builder, Location loc, ValueRange scalars, ValueRange operands) {
  int64_t axis = getAxis(), taken = getIndices().getType().getRank();
  Type element = getIndices().getType().getElementType(), i64 = builder.getI64Type();
  // 64-bit arithmetic: a narrow index type may not hold the size.
  Value wide = ScalarBuilder(builder, loc, element).cast(scalars[0], i64);
  ScalarBuilder scalar(builder, loc, i64);
  Value size = getValueOrCreateConstantIndexOp(builder, loc, common::dimSize(builder, loc, operands[0], axis));
  size = arith::IndexCastOp::create(builder, loc, i64, size);
  if (getMode() == "wrap") {
    wide = scalar.remainder(wide, size);
  } else {
    Value zero = scalar.constant(wide, 0);
    if (getMode() != "clip")
      wide = scalar.select(scalar.compare("lt", wide, zero), scalar.add(wide, size), wide);
    wide = scalar.max(scalar.min(wide, scalar.sub(size, scalar.constant(wide, 1))), zero);
  }
  SmallVector<Value> position;
  for (int64_t dim = 0; dim < getInput().getType().getRank(); ++dim) {
    if (dim == axis)
      position.push_back(arith::IndexCastOp::create(builder, loc, builder.getIndexType(), wide));
    else
      position.push_back(linalg::IndexOp::create(builder, loc, dim < axis ? dim : dim + taken - 1));
  }
  return {tensor::ExtractOp::create(builder, loc, operands[0], position)};
}

bool GatherOp::isComposite() { return getMode() == "raise"; }

FailureOr<SmallVector<Value>> GatherOp::decompose(OpBuilder &builder) {
  Location loc = getLoc();
  auto type = cast<RankedTensorType>(getIndices().getType());
  auto wideType = type.clone(builder.getI64Type());
  Value wide = CastOp::create(builder, loc, wideType, getIndices());
  Value size = DimOp::create(builder, loc, getInput(), getAxis());
  auto sizes = common::splitSizes(common::dimSizes(builder, loc, getIndices())).second;
  auto bound = [&](Value number) -> Value {
    return BroadcastOp::create(builder, loc, wideType, number, sizes, builder.getDenseI64ArrayAttr({}));
  };
  Value high = FromIndexOp::create(builder, loc, size);
  Value low = NegOp::create(builder, loc, high);
  Value above = CompareOp::create(builder, loc, wide, bound(low), "ge");
  Value below = CompareOp::create(builder, loc, wide, bound(high), "lt");
  Value inside = LogicalAndOp::create(builder, loc, above, below);
  Value all = AllOp::create(builder, loc, inside, llvm::to_vector(llvm::seq<int64_t>(0, type.getRank())));
  CheckOp::create(builder, loc, all, "index out of range");
  return SmallVector<Value>{GatherOp::create(builder, loc, getInput(), getIndices(), getAxis(), "checked").getResult()};
}

LogicalResult ScatterOp::verify() {
  RankedTensorType input = getInput().getType(), indices = getIndices().getType(), updates = getUpdates().getType();
  int64_t axis = getAxis();
  if (failed(common::verifyAxis(*this, input, axis)))
    return failure();
  if (indices.getRank() != 1)
    return emitOpError("(c2) indices must have one dimension");
  if (updates.getElementType() != input.getElementType() || updates.getRank() != input.getRank())
    return emitOpError("(c3) updates must have the rank and element type of the input");
  for (int64_t dim = 0; dim < input.getRank(); ++dim)
    if (!common::sizesMayAgree(updates.getDimSize(dim), dim == axis ? indices.getDimSize(0) : input.getDimSize(dim)))
      return emitOpError("(c3) dimension ") << dim << " of updates does not fit";
  if (!llvm::is_contained({"set", "add", "max", "min"}, getKind()))
    return emitOpError("(c4) kind must be set, add, max or min, not \"") << getKind() << "\"";
  return success();
}
