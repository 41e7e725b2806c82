//===- SizeTrace.cpp - Where the size of a dimension comes from -------------===//
#include "Conversion/TwToLinalg/SizeTrace.h"

#include "Tw/TwDialect.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace tilewright;

Size tilewright::traceDim(Value tensor, int64_t dim) {
  while (true) {
    auto type = cast<RankedTensorType>(tensor.getType());
    if (!type.isDynamicDim(dim))
      return {type.getDimSize(dim)};
    Operation *op = tensor.getDefiningOp();
    auto given = [&](ValueRange sizes) {
      return traceIndex(sizes[llvm::count_if(type.getShape().take_front(dim), ShapedType::isDynamic)]);
    };
    if (auto reshape = dyn_cast_or_null<tw::ReshapeOp>(op))
      return given(reshape.getSizes());
    if (auto broadcast = dyn_cast_or_null<tw::BroadcastOp>(op))
      return given(broadcast.getSizes());
    if (auto iota = dyn_cast_or_null<tw::IotaOp>(op))
      return given(iota.getSizes());
    if (auto slice = dyn_cast_or_null<tw::SliceOp>(op))
      return given(slice.getSizes());
    if (isa_and_nonnull<tw::RopeOp, tw::FlipOp, tw::UpdateSliceOp, tw::ScatterOp>(op)) {
      tensor = op->getOperand(0);
      continue;
    }
    auto structured = dyn_cast_or_null<tw::StructuredOpInterface>(op);
    if (!structured || isa<tw::GatherOp, tw::ConvOp, tw::PoolOp, tw::DequantizeOp>(op))
      return {1, tensor, dim};
    SmallVector<AffineMap> maps = structured.getLoopMaps();
    SmallVector<Value> inputs = tw::common::tensorOperands(op->getOperands());
    AffineExpr loop = maps[inputs.size()].getResult(dim);
    Value next;
    for (auto [input, map] : llvm::zip(inputs, maps))
      if (std::optional<unsigned> position = map.getResultPosition(loop)) {
        next = input;
        dim = *position;
        break;
      }
    if (!next)
      return {1, tensor, dim};
    tensor = next;
  }
}

Size tilewright::traceIndex(Value index) {
  if (auto constant = getConstantIntValue(index))
    return {*constant};
  if (auto dim = index.getDefiningOp<tw::DimOp>())
    return traceDim(dim.getInput(), dim.getAxis());
  return {1, index, -1};
}
