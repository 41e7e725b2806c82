//===- Bufferize.cpp - Tensors become buffers -------------------------------===//
//
// In:  stage `vector`: tensors, destination-passing kernels.
// Out: memrefs with identity layout at function boundaries; functions still return buffers, kernels their destinations.
// Here, because everything after it (arena, threads, code) needs to see memory, and everything before it is easier on
// values.
//===----------------------------------------------------------------------===//
#include "Transforms/Bufferize/Bufferize.h"
#include "Transforms/Bufferize/WriteThrough.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotAnalysis.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotModuleBufferize.h"
#include "mlir/Dialect/Bufferization/Transforms/Transforms.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"

namespace tilewright {
#define GEN_PASS_DEF_BUFFERIZEPASS
#include "Transforms/Bufferize/Bufferize.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace mlir::bufferization;

namespace {

/// Says which arguments may be overwritten. In kernels that is for the analysis of their callers to find out.
void markWritableArguments(ModuleOp module) {
  for (auto func : module.getOps<func::FuncOp>()) {
    if (func->hasAttr("tw.kernel"))
      continue;
    for (unsigned i = 0, e = func.getNumArguments(); i < e; ++i)
      if (isa<TensorType>(func.getArgument(i).getType()))
        func.setArgAttr(i, BufferizationDialect::kWritableAttrName,
                        BoolAttr::get(module.getContext(), bool(func.getArgAttr(i, "tw.donate"))));
  }
}

/// Gives each result that a host function computes a destination of its own. CSE makes one of all that have a type; then
/// hundreds of calls write to one value, and the analysis compares each with each, only to share memory that the plan
/// shares anyway.
void separateDestinations(ModuleOp module) {
  for (auto func : module.getOps<func::FuncOp>()) {
    if (func->hasAttr("tw.kernel") || func.isExternal())
      continue;
    // Collected before any is copied: a call with two destinations would otherwise have its copies copied for ever.
    for (auto empty : llvm::to_vector(func.getBody().front().getOps<tensor::EmptyOp>())) {
      for (OpOperand &use : llvm::make_early_inc_range(empty->getUses())) {
        Operation *user = use.getOwner();
        if (user->getBlock() == empty->getBlock() && isa<func::CallOp>(user))
          use.set(OpBuilder(user).clone(*empty)->getResult(0));
      }
      if (empty->use_empty())
        empty.erase();
    }
  }
}

/// The operand that `value` is an updated version of, or null where its operation says no such thing.
OpOperand *updatedBy(Value value) {
  auto result = dyn_cast<OpResult>(value);
  if (!result)
    return nullptr;
  Operation *op = result.getOwner();
  if (auto updates = dyn_cast<DestinationStyleOpInterface>(op))
    return updates.getTiedOpOperand(result);
  if (auto loop = dyn_cast<scf::ForOp>(op))
    return loop.getTiedLoopInit(result);
  if (auto loop = dyn_cast<scf::ForallOp>(op))
    return loop.getTiedOpOperand(result);
  return nullptr;
}

/// Lets kernels write where they are told to. A copy of all of a fresh tensor into the destination folds to that tensor,
/// and what was to be written to the destination then comes from memory that nobody else has.
void writeToDestinations(ModuleOp module) {
  for (auto func : module.getOps<func::FuncOp>()) {
    if (!func->hasAttr("tw.kernel") || func.isExternal())
      continue;
    Operation *ret = func.getBody().front().getTerminator();
    unsigned first = func.getNumArguments() - ret->getNumOperands();
    for (auto [number, value] : llvm::enumerate(ret->getOperands())) {
      BlockArgument destination = func.getArgument(first + number);
      OpOperand *base = updatedBy(value);
      while (base && updatedBy(base->get()))
        base = updatedBy(base->get());
      if (base && base->get().getDefiningOp<tensor::EmptyOp>() && destination.use_empty() &&
          destination.getType() == base->get().getType())
        base->set(destination);
    }
  }
}

/// Buffers at function boundaries are dense. A kernel that writes a window of a larger buffer returns that window: where
/// its destination (the last argument) has a layout, values of that type have it, too, and dense ones are cast.
BufferLikeType boundaryType(TensorType type, Attribute space, func::FuncOp func) {
  unsigned last = func.getNumArguments();
  if (func->hasAttr("tw.kernel") && last > 0 && func.getArgumentTypes().back() == type) {
    auto layout = func.getArgAttrOfType<MemRefLayoutAttrInterface>(last - 1, "bufferization.buffer_layout");
    if (layout) {
      auto ranked = cast<RankedTensorType>(type);
      return cast<BufferLikeType>(MemRefType::get(ranked.getShape(), ranked.getElementType(), layout, space));
    }
  }
  return cast<BufferLikeType>(getMemRefTypeWithStaticIdentityLayout(type, space));
}

struct BufferizePass : tilewright::impl::BufferizePassBase<BufferizePass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    markWritableArguments(module);
    for (auto func : module.getOps<func::FuncOp>())
      tilewright::writeThroughSlices(func);
    writeToDestinations(module);
    separateDestinations(module);

    OneShotBufferizationOptions options;
    options.bufferizeFunctionBoundaries = true;
    options.allowReturnAllocsFromLoops = true;
    options.setFunctionBoundaryTypeConversion(LayoutMapOption::IdentityLayoutMap);
    options.functionArgTypeConverterFn = [](TensorLikeType type, Attribute space, func::FuncOp func,
                                            const BufferizationOptions &) {
      return boundaryType(cast<TensorType>(type), space, func);
    };
    options.inferFunctionResultLayout = false;
    options.unknownTypeConverterFn = [](TensorType type, Attribute space, const BufferizationOptions &) {
      return getMemRefTypeWithStaticIdentityLayout(type, space);
    };

    BufferizationState state;
    if (failed(runOneShotModuleBufferize(module, options, state)))
      return signalPassFailure();
    removeBufferizationAttributesInModule(module);
  }
};

} // namespace
