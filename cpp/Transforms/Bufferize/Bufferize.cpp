//===- Bufferize.cpp - Tensors become buffers -------------------------------===//
//
// In:  stage `vector`: tensors, destination-passing kernels.
// Out: memrefs with identity layout at function boundaries; host functions still allocate and return buffers; kernels
//      return nothing.
// Here, because everything after it (arena, threads, code) needs to see memory, and everything before it is easier on
// values.
//===----------------------------------------------------------------------===//
#include "Transforms/Bufferize/Bufferize.h"

#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotAnalysis.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotModuleBufferize.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Bufferization/Transforms/Transforms.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

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

struct BufferizePass : tilewright::impl::BufferizePassBase<BufferizePass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    markWritableArguments(module);

    OneShotBufferizationOptions options;
    options.bufferizeFunctionBoundaries = true;
    options.allowReturnAllocsFromLoops = true;
    options.setFunctionBoundaryTypeConversion(LayoutMapOption::IdentityLayoutMap);
    options.unknownTypeConverterFn = [](TensorType type, Attribute space, const BufferizationOptions &) {
      return getMemRefTypeWithStaticIdentityLayout(type, space);
    };

    BufferizationState state;
    if (failed(runOneShotModuleBufferize(module, options, state)))
      return signalPassFailure();
    removeBufferizationAttributesInModule(module);
    if (failed(dropEquivalentBufferResults(module)))
      return signalPassFailure();
  }
};

} // namespace
