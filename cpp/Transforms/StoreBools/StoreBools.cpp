//===- StoreBools.cpp - Booleans in memory are bytes ------------------------===//
//
// In:  bufferised functions with memrefs of i1.
// Out: the same with memrefs of i8; i1 lives in values only.
// Here, right after bufferisation: earlier, i1 tensors are what operations are about; later, the ABI fixes the bytes.
//===----------------------------------------------------------------------===//
#include "Transforms/StoreBools/StoreBools.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/TypeSwitch.h"

namespace tilewright {
#define GEN_PASS_DEF_STOREBOOLSPASS
#include "Transforms/StoreBools/StoreBools.h.inc"
} // namespace tilewright

using namespace mlir;

namespace {

/// `i1` becomes `i8`, also as an element of vectors and buffers.
Type bytesFor(Type type) {
  Type byte = IntegerType::get(type.getContext(), 8);
  if (type.isInteger(1))
    return byte;
  if (auto shaped = dyn_cast<ShapedType>(type); shaped && shaped.getElementType().isInteger(1))
    return shaped.clone(byte);
  return type;
}

bool holdsBools(Type type) {
  auto memref = dyn_cast<MemRefType>(type);
  return memref && memref.getElementType().isInteger(1);
}

bool isBool(Type type) { return getElementTypeOrSelf(type).isInteger(1); }

Value toByte(OpBuilder &builder, Location loc, Value value) {
  return arith::ExtUIOp::create(builder, loc, bytesFor(value.getType()), value);
}

/// Makes `result` of an operation that now loads bytes a boolean for its users.
void loadBool(OpResult result) {
  OpBuilder builder(result.getContext());
  builder.setInsertionPointAfter(result.getOwner());
  Location loc = result.getLoc();
  Type bytes = bytesFor(result.getType());
  result.setType(bytes);
  Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(bytes));
  auto test = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, result, zero);
  result.replaceAllUsesExcept(test, test);
}

/// Extends the value that an operation stores.
void storeBool(OpOperand &operand) {
  OpBuilder builder(operand.getOwner());
  operand.set(toByte(builder, operand.getOwner()->getLoc(), operand.get()));
}

/// A `linalg` body still computes with booleans: its block arguments are tested, what it yields is extended.
void convertBody(linalg::GenericOp op) {
  Block *body = op.getBody();
  OpBuilder builder = OpBuilder::atBlockBegin(body);
  for (auto [operand, argument] : llvm::zip(op->getOpOperands(), body->getArguments())) {
    if (!argument.getType().isInteger(1) || !isa<MemRefType>(operand.get().getType()))
      continue;
    argument.setType(builder.getI8Type());
    Value zero = arith::ConstantOp::create(builder, op.getLoc(), builder.getI8IntegerAttr(0));
    auto test = arith::CmpIOp::create(builder, op.getLoc(), arith::CmpIPredicate::ne, argument, zero);
    argument.replaceAllUsesExcept(test, test);
  }
  for (OpOperand &operand : body->getTerminator()->getOpOperands())
    if (operand.get().getType().isInteger(1))
      storeBool(operand);
}

LogicalResult convertOp(Operation *op) {
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<memref::LoadOp, vector::LoadOp>([](auto load) {
        if (isBool(load.getResult().getType()))
          loadBool(cast<OpResult>(load.getResult()));
        return success();
      })
      .Case([](vector::TransferReadOp read) {
        if (!isBool(read.getVectorType()) || !isa<MemRefType>(read.getBase().getType()))
          return success();
        storeBool(read.getPaddingMutable());
        loadBool(cast<OpResult>(read.getResult()));
        return success();
      })
      .Case([](memref::StoreOp store) {
        if (isBool(store.getValue().getType()))
          storeBool(store.getValueMutable());
        return success();
      })
      .Case([](vector::StoreOp store) {
        if (isBool(store.getValueToStore().getType()))
          storeBool(store.getValueToStoreMutable());
        return success();
      })
      .Case([](vector::TransferWriteOp write) {
        if (isBool(write.getVectorType()) && isa<MemRefType>(write.getBase().getType()))
          storeBool(write.getValueToStoreMutable());
        return success();
      })
      .Case([](linalg::GenericOp generic) {
        convertBody(generic);
        return success();
      })
      .Case([](linalg::FillOp fill) {
        if (!fill.getInputs().front().getType().isInteger(1))
          return success();
        OpBuilder builder(fill);
        Value byte = toByte(builder, fill.getLoc(), fill.getInputs().front());
        auto bytes = linalg::FillOp::create(builder, fill.getLoc(), byte, fill.getOutputs().front());
        bytes->setDiscardableAttrs(fill->getDiscardableAttrDictionary());
        fill.erase();
        return success();
      })
      .Case([](linalg::CopyOp copy) {
        // Its hidden body still names booleans: the same copy is made of bytes.
        if (!copy->getRegion(0).front().getArgument(0).getType().isInteger(1))
          return success();
        OpBuilder builder(copy);
        auto bytes = linalg::CopyOp::create(builder, copy.getLoc(), copy.getInputs(), copy.getOutputs());
        bytes->setDiscardableAttrs(copy->getDiscardableAttrDictionary());
        copy.erase();
        return success();
      })
      .Case([](memref::GlobalOp global) {
        if (!holdsBools(global.getType()))
          return success();
        global.setType(cast<MemRefType>(bytesFor(global.getType())));
        auto value = dyn_cast_or_null<DenseElementsAttr>(global.getInitialValueAttr());
        if (value)
          global.setInitialValueAttr(
              value.mapValues(IntegerType::get(global.getContext(), 8), [](const APInt &bit) { return bit.zext(8); }));
        return success();
      })
      .Default([](Operation *other) -> LogicalResult {
        bool touches = isa<linalg::LinalgOp, vector::MaskedLoadOp, vector::MaskedStoreOp, vector::GatherOp,
                           vector::ScatterOp, vector::ExpandLoadOp, vector::CompressStoreOp>(other) &&
                       llvm::any_of(other->getOperands(), [](Value operand) { return isBool(operand.getType()); });
        if (touches && llvm::any_of(other->getOperandTypes(), [](Type type) {
              auto memref = dyn_cast<MemRefType>(type);
              return memref && memref.getElementType().isInteger(8);
            }))
          return other->emitOpError("on buffers of booleans has no byte form");
        return success();
      });
}

struct StoreBoolsPass : tilewright::impl::StoreBoolsPassBase<StoreBoolsPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    bool any = false;
    auto convert = [&](Value value) {
      if (!holdsBools(value.getType()))
        return;
      any = true;
      value.setType(bytesFor(value.getType()));
    };
    module.walk([&](Operation *op) {
      for (Value result : op->getResults())
        convert(result);
      for (Region &region : op->getRegions())
        for (Block &block : region)
          for (Value argument : block.getArguments())
            convert(argument);
      if (auto func = dyn_cast<func::FuncOp>(op)) {
        auto bytes = [](Type type) { return holdsBools(type) ? bytesFor(type) : type; };
        func.setFunctionType(FunctionType::get(&getContext(),
                                               llvm::map_to_vector(func.getFunctionType().getInputs(), bytes),
                                               llvm::map_to_vector(func.getFunctionType().getResults(), bytes)));
      }
    });
    if (!any)
      return;
    SmallVector<Operation *> ops;
    module.walk([&](Operation *op) { ops.push_back(op); });
    for (Operation *op : ops)
      if (failed(convertOp(op)))
        return signalPassFailure();
  }
};

} // namespace
