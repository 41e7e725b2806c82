//===- TwInterfaces.cpp - The doors by which an op is lowered ---------------===//
#include "Tw/TwInterfaces.h"
#include "Tw/TwDialect.h"

#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace tilewright::tw;

#include "Tw/TwInterfaces.cpp.inc"

namespace tilewright::tw::common {

SmallVector<Value> tensorOperands(ValueRange operands) {
  return llvm::filter_to_vector(operands, [](Value value) { return isa<RankedTensorType>(value.getType()); });
}

SmallVector<AffineMap> identityMaps(Operation *op) {
  int64_t rank = cast<RankedTensorType>(op->getResult(0).getType()).getRank();
  unsigned count = tensorOperands(op->getOperands()).size() + op->getNumResults();
  return SmallVector<AffineMap>(count, AffineMap::getMultiDimIdentityMap(rank, op->getContext()));
}

SmallVector<utils::IteratorType> parallelIterators(ArrayRef<AffineMap> maps) {
  return SmallVector<utils::IteratorType>(maps.front().getNumDims(), utils::IteratorType::parallel);
}

Type signless(Type type) {
  if (auto tensor = dyn_cast<RankedTensorType>(type))
    return tensor.clone(signless(tensor.getElementType()));
  if (auto integer = dyn_cast<IntegerType>(type); integer && !integer.isSignless())
    return IntegerType::get(type.getContext(), integer.getWidth());
  // Nothing but conversions computes with them: everything else moves bytes.
  return isa<Float8E4M3FNType, Float8E5M2Type>(type) ? IntegerType::get(type.getContext(), 8) : type;
}

Type signlessElementType(Type type) { return signless(getElementTypeOrSelf(type)); }

OpFoldResult dimSize(OpBuilder &builder, Location loc, Value tensor, int64_t dim) {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (!type.isDynamicDim(dim))
    return builder.getIndexAttr(type.getDimSize(dim));
  return DimOp::create(builder, loc, tensor, dim).getResult();
}

SmallVector<OpFoldResult> dimSizes(OpBuilder &builder, Location loc, Value tensor) {
  SmallVector<OpFoldResult> sizes;
  for (int64_t dim = 0, rank = cast<RankedTensorType>(tensor.getType()).getRank(); dim < rank; ++dim)
    sizes.push_back(dimSize(builder, loc, tensor, dim));
  return sizes;
}

std::pair<SmallVector<int64_t>, SmallVector<Value>> splitSizes(ArrayRef<OpFoldResult> sizes) {
  SmallVector<int64_t> shape;
  SmallVector<Value> dynamic;
  dispatchIndexOpFoldResults(sizes, dynamic, shape);
  return {shape, dynamic};
}

FailureOr<SmallVector<SmallVector<OpFoldResult>>> loopOutputSizes(StructuredOpInterface op, OpBuilder &builder,
                                                                  ValueRange operands, ValueRange inputs) {
  Location loc = op.getLoc();
  SmallVector<AffineMap> maps = op.getLoopMaps();
  SmallVector<OpFoldResult> loops(maps.front().getNumDims());
  auto loopSize = [&](unsigned loop) -> OpFoldResult {
    if (loops[loop])
      return loops[loop];
    for (auto [input, map] : llvm::zip(inputs, maps)) {
      std::optional<unsigned> dim = map.getResultPosition(getAffineDimExpr(loop, op.getContext()));
      // A static size is preferred to a query of another operand.
      if (dim && (!loops[loop] || !cast<RankedTensorType>(input.getType()).isDynamicDim(*dim)))
        loops[loop] = dimSize(builder, loc, input, *dim);
      if (loops[loop] && isa<Attribute>(loops[loop]))
        break;
    }
    if (!loops[loop])
      loops[loop] = op.getLoopSize(builder, loc, loop, operands);
    return loops[loop];
  };
  SmallVector<SmallVector<OpFoldResult>> result;
  for (AffineMap map : ArrayRef(maps).drop_front(inputs.size())) {
    SmallVector<OpFoldResult> &sizes = result.emplace_back();
    for (AffineExpr expr : map.getResults()) {
      auto dim = dyn_cast<AffineDimExpr>(expr);
      OpFoldResult size = dim ? loopSize(dim.getPosition()) : OpFoldResult();
      if (!size)
        return failure();
      sizes.push_back(size);
    }
  }
  return result;
}

void preferStaticSizes(Type type, Builder &builder, SmallVectorImpl<OpFoldResult> &sizes) {
  for (auto [size, known] : llvm::zip(sizes, cast<RankedTensorType>(type).getShape()))
    if (!ShapedType::isDynamic(known))
      size = builder.getIndexAttr(known);
}

/// Sizes of '?' dimensions must be values, even where they are known.
static void materializeDynamicSizes(Type type, OpBuilder &builder, Location loc, SmallVectorImpl<OpFoldResult> &sizes) {
  preferStaticSizes(type, builder, sizes);
  for (auto [size, known] : llvm::zip(sizes, cast<RankedTensorType>(type).getShape()))
    if (ShapedType::isDynamic(known))
      size = getValueOrCreateConstantIndexOp(builder, loc, size);
}

LogicalResult reifyStructured(Operation *op, OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  auto structured = cast<StructuredOpInterface>(op);
  auto sizes = loopOutputSizes(structured, builder, op->getOperands(), tensorOperands(op->getOperands()));
  if (failed(sizes))
    return failure();
  for (auto [type, size] : llvm::zip(op->getResultTypes(), *sizes)) {
    materializeDynamicSizes(type, builder, op->getLoc(), size);
    shapes.push_back(size);
  }
  return success();
}

LogicalResult reifyLikeOperand(Operation *op, OpBuilder &builder, unsigned index, ReifiedRankedShapedTypeDims &shapes) {
  for (Type type : op->getResultTypes()) {
    SmallVector<OpFoldResult> sizes = dimSizes(builder, op->getLoc(), op->getOperand(index));
    materializeDynamicSizes(type, builder, op->getLoc(), sizes);
    shapes.push_back(sizes);
  }
  return success();
}

SmallVector<OpFoldResult> mixSizes(OpBuilder &builder, Type type, ValueRange dynamic) {
  return getMixedValues(cast<RankedTensorType>(type).getShape(), dynamic, builder);
}

} // namespace tilewright::tw::common
