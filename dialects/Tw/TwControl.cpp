//===- TwControl.cpp - Control flow and module-level facts ------------------===//
#include "Tw/TwDialect.h"

using namespace mlir;
using namespace tilewright::tw;

static TypeRange argumentTypes(Region &region) { return region.front().getArgumentTypes(); }
static TypeRange yieldedTypes(Region &region) { return region.front().getTerminator()->getOperandTypes(); }

// The terminator of a region whose text leaves it out.
void YieldOp::build(OpBuilder &, OperationState &) {}

LogicalResult CondOp::verify() {
  for (Region *region : getRegions()) {
    if (argumentTypes(*region) != getInputs().getTypes())
      return emitOpError("(c1) the arguments of the regions must have the types of the inputs");
    if (yieldedTypes(*region) != getResultTypes())
      return emitOpError("(c2) both regions must yield the types of the results");
  }
  return success();
}

LogicalResult WhileOp::verify() {
  TypeRange carried = getInits().getTypes();
  if (getResultTypes() != carried || argumentTypes(getCondition()) != carried || argumentTypes(getBody()) != carried)
    return emitOpError("(c1) results and arguments of the regions must have the types of the inits");
  TypeRange flag = yieldedTypes(getCondition());
  if (flag.size() != 1 || flag.front() != RankedTensorType::get({}, IntegerType::get(getContext(), 1)))
    return emitOpError("(c2) the condition must yield one tensor<i1>");
  if (yieldedTypes(getBody()) != carried)
    return emitOpError("(c3) the body must yield the types of the inits");
  return success();
}

/// The type of one position along the leading dimension.
static RankedTensorType sliceType(Type stacked) {
  auto type = cast<RankedTensorType>(stacked);
  return type.clone(type.getShape().drop_front());
}

LogicalResult ScanOp::verify() {
  if (getXs().empty())
    return emitOpError("(c1) needs a tensor to run over");
  int64_t length = ShapedType::kDynamic;
  for (Type type : getXs().getTypes()) {
    auto tensor = cast<RankedTensorType>(type);
    if (tensor.getRank() == 0)
      return emitOpError("(c1) ") << type << " has no leading dimension";
    int64_t size = tensor.getDimSize(0);
    if (!ShapedType::isDynamic(length) && !ShapedType::isDynamic(size) && length != size)
      return emitOpError("(c1) leading dimensions ") << length << " and " << size << " differ";
    length = ShapedType::isDynamic(size) ? length : size;
  }
  SmallVector<Type> taken(getInits().getTypes()), given(taken);
  for (Type type : getXs().getTypes())
    taken.push_back(sliceType(type));
  if (argumentTypes(getBody()) != TypeRange(taken))
    return emitOpError("(c2) the body must take the inits and the slices of xs");
  TypeRange results = getResultTypes();
  if (results.size() < given.size() || results.take_front(given.size()) != TypeRange(given))
    return emitOpError("(c4) the first results must have the types of the inits");
  for (Type type : results.drop_front(given.size())) {
    auto tensor = cast<RankedTensorType>(type);
    if (tensor.getRank() == 0 ||
        (tensor.getDimSize(0) != length && !ShapedType::isDynamic(length) && !tensor.isDynamicDim(0)))
      return emitOpError("(c4) ") << type << " does not stack slices along the dimension of xs";
    given.push_back(sliceType(type));
  }
  if (yieldedTypes(getBody()) != TypeRange(given))
    return emitOpError("(c3) the body must yield the inits and the slices of the stacked results");
  return success();
}

void CheckOp::getEffects(SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {
  // A failure is visible: checks are neither dropped nor reordered among each other.
  effects.emplace_back(MemoryEffects::Write::get());
}

LogicalResult DimSymbolOp::verify() {
  int64_t low = getMin();
  if (low < 0 || (getMax() && (int64_t)*getMax() < low) || (int64_t)getMultipleOf() <= 0)
    return emitOpError("(c1) needs 0 <= min <= max and multiple_of > 0");
  return success();
}
