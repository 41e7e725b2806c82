//===- PinSizes.cpp - Make sizes of one possible value static -------------===//
//
// In:  linalg on tensors; arguments name the symbols of their sizes.
// Out: the same. Where a symbol has one possible value, arguments and results
//      of @main have it in their types, and what follows from it has folded.
// Here, because sizes are plain `tensor.dim` and index arithmetic now, which
// upstream's canonicalisation folds through every operation; and before fusion
// and layouts, which do better on static shapes.
//
//   tw.dim_symbol @n {min = 7, max = 7}
//   @main(%x: tensor<?x4xf32> {tw.dims = ["n", ""]}) -> tensor<?x4xf32>
// becomes
//   @main(%x: tensor<7x4xf32> {tw.dims = ["", ""]}) -> tensor<7x4xf32>
//===----------------------------------------------------------------------===//
#include "Transforms/PinSizes/PinSizes.h"

#include "Tw/TwDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tilewright {
#define GEN_PASS_DEF_PINSIZESPASS
#include "Transforms/PinSizes/PinSizes.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

struct PinSizesPass : tilewright::impl::PinSizesPassBase<PinSizesPass> {
  void runOnOperation() override {
    llvm::StringMap<int64_t> pinned;
    for (auto symbol : getOperation().getOps<tw::DimSymbolOp>())
      if (symbol.getMax() && static_cast<int64_t>(*symbol.getMax()) == static_cast<int64_t>(symbol.getMin()))
        pinned[symbol.getSymName()] = static_cast<int64_t>(symbol.getMin());
    auto main = getOperation().lookupSymbol<func::FuncOp>("main");
    if (pinned.empty() || !main || main.isExternal() || !pinArguments(main, pinned))
      return;
    propagate(main);
    refineResults(main);
  }

private:
  /// Gives arguments static types; what uses them sees the old ones through a
  /// cast, so that everything stays valid however far the sizes get.
  bool pinArguments(func::FuncOp main, const llvm::StringMap<int64_t> &pinned) {
    OpBuilder builder = OpBuilder::atBlockBegin(&main.getBody().front());
    bool changed = false;
    for (BlockArgument argument : main.getArguments()) {
      auto type = dyn_cast<RankedTensorType>(argument.getType());
      auto names = main.getArgAttrOfType<ArrayAttr>(argument.getArgNumber(), "tw.dims");
      if (!type || !names || static_cast<int64_t>(names.size()) != type.getRank())
        continue;
      SmallVector<int64_t> shape(type.getShape());
      SmallVector<Attribute> left(names.begin(), names.end());
      for (auto [dim, name] : llvm::enumerate(names.getAsValueRange<StringAttr>())) {
        auto found = pinned.find(name);
        if (found == pinned.end() || !ShapedType::isDynamic(shape[dim]))
          continue;
        shape[dim] = found->second;
        left[dim] = builder.getStringAttr("");
        ++numPinned;
      }
      auto refined = type.clone(shape);
      if (refined == type)
        continue;
      changed = true;
      argument.setType(refined);
      main.setArgAttr(argument.getArgNumber(), "tw.dims", builder.getArrayAttr(left));
      auto cast = tensor::CastOp::create(builder, main.getLoc(), type, argument);
      argument.replaceAllUsesExcept(cast, cast);
    }
    updateType(main);
    return changed;
  }

  void propagate(func::FuncOp main) {
    MLIRContext *context = &getContext();
    RewritePatternSet patterns(context);
    for (Dialect *dialect : context->getLoadedDialects())
      dialect->getCanonicalizationPatterns(patterns);
    for (RegisteredOperationName name : context->getRegisteredOperations())
      name.getCanonicalizationPatterns(patterns, context);
    // Sizes go from arguments to results, and so does the walk.
    GreedyRewriteConfig config;
    config.setUseTopDownTraversal(true);
    // A pattern that goes in circles is no reason to refuse: what has folded by
    // then is valid.
    (void)applyPatternsGreedily(main, std::move(patterns), config);
  }

  void refineResults(func::FuncOp main) {
    Operation *end = main.getBody().front().getTerminator();
    for (OpOperand &operand : end->getOpOperands())
      if (auto cast = operand.get().getDefiningOp<tensor::CastOp>())
        if (tensor::preservesStaticInformation(cast.getType(), cast.getSource().getType())) {
          operand.set(cast.getSource());
          if (cast.use_empty())
            cast.erase();
        }
    updateType(main);
  }

  static void updateType(func::FuncOp main) {
    Block &body = main.getBody().front();
    main.setType(
        FunctionType::get(main.getContext(), body.getArgumentTypes(), body.getTerminator()->getOperandTypes()));
  }
};

} // namespace
