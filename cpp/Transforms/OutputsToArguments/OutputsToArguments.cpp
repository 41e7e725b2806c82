//===- OutputsToArguments.cpp - Returned buffers become arguments -----------===//
//
// In:  bufferised host functions (`tw.host`, `tw.load`) that return memrefs.
// Out: the same with output arguments; `tw.alias` says which outputs are donated arguments.
// Here, before the memory plan: what the caller owns needs no place in the arena.
//===----------------------------------------------------------------------===//
#include "Transforms/OutputsToArguments/OutputsToArguments.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

namespace tilewright {
#define GEN_PASS_DEF_OUTPUTSTOARGUMENTSPASS
#include "Transforms/OutputsToArguments/OutputsToArguments.h.inc"
} // namespace tilewright

using namespace mlir;

namespace {

/// Follows casts and reshapes, none of which moves elements, back to the buffer they describe.
Value throughReshapes(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (!isa<memref::CastOp, memref::ExpandShapeOp, memref::CollapseShapeOp>(op))
      break;
    value = op->getOperand(0);
  }
  return value;
}

/// Describes the memory of `output` by the type of `alloc`, at the place of the allocation.
Value viewAs(memref::AllocOp alloc, Value output) {
  MemRefType type = alloc.getType();
  if (output.getType() == type)
    return output;
  OpBuilder builder(alloc);
  Location loc = alloc.getLoc();
  SmallVector<OpFoldResult> sizes = alloc.getMixedSizes(), strides(type.getRank());
  // Row-major strides; a stride that the type knows must be given as that number.
  auto [known, offset] = type.getStridesAndOffset();
  for (int64_t i = type.getRank() - 1; i >= 0; --i) {
    if (!ShapedType::isDynamic(known[i])) {
      strides[i] = builder.getIndexAttr(known[i]);
      continue;
    }
    Value inner = getValueOrCreateConstantIndexOp(builder, loc, sizes[i + 1]);
    Value above = getValueOrCreateConstantIndexOp(builder, loc, strides[i + 1]);
    strides[i] = arith::MulIOp::create(builder, loc, inner, above).getResult();
  }
  return memref::ReinterpretCastOp::create(builder, loc, type, output, builder.getIndexAttr(0), sizes, strides);
}

LogicalResult convertOutputs(func::FuncOp func) {
  if (!llvm::hasSingleElement(func.getBody()))
    return func.emitOpError("must have one block");
  auto ret = cast<func::ReturnOp>(func.front().getTerminator());
  OpBuilder builder(func.getContext());
  SmallVector<int64_t> aliases;
  SmallVector<Value> kept;
  DenseSet<Value> taken;
  SmallVector<std::pair<Value, Value>> copies;
  unsigned inputs = func.getNumArguments();
  for (auto [number, value] : llvm::enumerate(ret.getOperands())) {
    auto type = dyn_cast<MemRefType>(value.getType());
    if (!type)
      return ret.emitOpError("returns ") << value.getType() << ", expected buffers only";
    Value source = throughReshapes(value);
    auto argument = dyn_cast<BlockArgument>(source);
    if (argument && argument == value && argument.getArgNumber() < inputs &&
        func.getArgAttr(argument.getArgNumber(), "tw.donate") && taken.insert(source).second) {
      aliases.push_back(argument.getArgNumber());
      continue;
    }
    aliases.push_back(-1);
    unsigned position = func.getNumArguments();
    auto dense = MemRefType::get(type.getShape(), type.getElementType());
    if (failed(func.insertArgument(
            position, dense,
            builder.getDictionaryAttr(builder.getNamedAttr("tw.output", builder.getI64IntegerAttr(number))),
            value.getLoc())))
      return failure();
    Value output = func.getArgument(position);
    auto alloc = source.getDefiningOp<memref::AllocOp>();
    if (alloc && alloc.getType().getLayout().isIdentity() && taken.insert(source).second) {
      alloc.replaceAllUsesWith(viewAs(alloc, output));
      alloc.erase();
      continue;
    }
    copies.push_back({value, output});
  }
  builder.setInsertionPoint(ret);
  for (auto [from, to] : copies)
    memref::CopyOp::create(builder, ret.getLoc(), from, to);
  ret->setOperands({});
  func.setFunctionType(builder.getFunctionType(func.getFunctionType().getInputs(), {}));
  func.removeResAttrsAttr();
  func->setAttr("tw.alias", builder.getDenseI64ArrayAttr(aliases));
  return success();
}

struct OutputsToArgumentsPass : tilewright::impl::OutputsToArgumentsPassBase<OutputsToArgumentsPass> {
  void runOnOperation() override {
    for (auto func : getOperation().getOps<func::FuncOp>()) {
      if (func->hasAttr("tw.kernel") && llvm::any_of(func.getResultTypes(), llvm::IsaPred<MemRefType>)) {
        func.emitOpError("returns a buffer that is not its destination");
        return signalPassFailure();
      }
      if ((func->hasAttr("tw.host") || func->hasAttr("tw.load")) && !func->hasAttr("tw.alias"))
        if (failed(convertOutputs(func)))
          return signalPassFailure();
    }
  }
};

} // namespace
