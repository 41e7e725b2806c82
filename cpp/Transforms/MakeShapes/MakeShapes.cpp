//===- MakeShapes.cpp - Derive output sizes from input sizes --------------===//
//
// In:  stage linalg: @main and the @load functions on tensors.
// Out: the same, and @shapes (for each @load_K, @load_K_shapes) that computes
// result sizes from argument sizes. Here, while every operation can still reify
// the sizes of its results; after outlining a call could not.
//===----------------------------------------------------------------------===//
#include "Transforms/MakeShapes/MakeShapes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/MemRef/Transforms/Transforms.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/LoopLikeInterface.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tilewright {
#define GEN_PASS_DEF_MAKESHAPESPASS
#include "Transforms/MakeShapes/MakeShapes.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

/// Loop-carried values keep their sizes, so a result of a loop is as large as
/// what it started from.
struct DimOfFor : OpRewritePattern<tensor::DimOp> {
  using OpRewritePattern<tensor::DimOp>::OpRewritePattern;
  LogicalResult matchAndRewrite(tensor::DimOp op, PatternRewriter &rewriter) const override {
    auto loop = op.getSource().getDefiningOp<scf::ForOp>();
    if (!loop)
      return rewriter.notifyMatchFailure(op, "not a size of a loop's result");
    unsigned index = cast<OpResult>(op.getSource()).getResultNumber();
    rewriter.modifyOpInPlace(op, [&] { op.getSourceMutable().assign(loop.getInits()[index]); });
    return success();
  }
};

/// Finds a size that is computed inside a branch or a loop in terms of values
/// outside of it; what it builds in vain, nothing uses.
class Hoister {
public:
  Hoister(OpBuilder &builder, Location loc, Operation *outside) : builder(builder), loc(loc), outside(outside) {}

  /// The size of a dimension of `tensor`, or null.
  Value size(Value tensor, int64_t dim) {
    auto type = cast<RankedTensorType>(tensor.getType());
    if (!type.isDynamicDim(dim))
      return arith::ConstantIndexOp::create(builder, loc, type.getDimSize(dim));
    if (isOutside(tensor))
      return tensor::DimOp::create(builder, loc, tensor, dim);
    auto result = dyn_cast<OpResult>(tensor);
    if (!result) // an argument of a loop's body has the sizes that it had at the start
      return start(cast<BlockArgument>(tensor), dim);
    Operation *op = result.getOwner();
    if (auto destination = dyn_cast<DestinationStyleOpInterface>(op))
      return size(destination.getTiedOpOperand(result)->get(), dim);
    if (auto empty = dyn_cast<tensor::EmptyOp>(op))
      return index(empty.getDynamicSizes()[type.getDynamicDimIndex(dim)]);
    if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op))
      return slice.getDroppedDims().any() ? Value() : index(slice.getMixedSizes()[dim]);
    if (auto cast = dyn_cast<tensor::CastOp>(op))
      return size(cast.getSource(), dim);
    if (auto loop = dyn_cast<scf::WhileOp>(op))
      return size(loop.getConditionOp().getArgs()[result.getResultNumber()], dim);
    if (auto loop = dyn_cast<LoopLikeOpInterface>(op)) {
      OpOperand *init = loop.getTiedLoopInit(result);
      return init ? size(init->get(), dim) : Value();
    }
    if (auto branch = dyn_cast<scf::IfOp>(op))
      return size(branch.thenYield().getOperand(result.getResultNumber()), dim);
    ReifiedRankedShapedTypeDims sizes;
    OpBuilder inside(op);
    if (failed(reifyResultShapes(inside, op, sizes)))
      return Value();
    return index(sizes[result.getResultNumber()][dim]);
  }

private:
  /// What a while carries, what its condition passes on and what it results in need not be in one order:
  /// canonicalisation drops each of them by itself.
  Value start(BlockArgument argument, int64_t dim) {
    auto loop = dyn_cast<LoopLikeOpInterface>(argument.getOwner()->getParentOp());
    if (auto whileOp = dyn_cast_or_null<scf::WhileOp>(loop ? loop.getOperation() : nullptr);
        whileOp && argument.getOwner() == whileOp.getAfterBody())
      return size(whileOp.getConditionOp().getArgs()[argument.getArgNumber()], dim);
    OpOperand *init = loop ? loop.getTiedLoopInit(argument) : nullptr;
    return init ? size(init->get(), dim) : Value();
  }

  bool isOutside(Value value) {
    Operation *owner = value.getParentBlock()->getParentOp();
    return owner->isProperAncestor(outside);
  }

  Value index(OpFoldResult size) {
    if (auto value = dyn_cast<Value>(size))
      return index(value);
    return arith::ConstantIndexOp::create(builder, loc, *getConstantIntValue(size));
  }

  Value index(Value value) {
    if (isOutside(value))
      return value;
    Operation *op = value.getDefiningOp();
    if (!op)
      return Value();
    if (auto dim = dyn_cast<tensor::DimOp>(op)) {
      std::optional<int64_t> position = dim.getConstantIndex();
      return position ? size(dim.getSource(), *position) : Value();
    }
    bool isArithmetic = isPure(op) && op->getNumRegions() == 0 && op->getNumResults() == 1 &&
                        llvm::all_of(op->getOperandTypes(), [](Type type) { return type.isIndex(); });
    if (!isArithmetic)
      return Value();
    IRMapping mapping;
    for (Value operand : op->getOperands()) {
      Value hoisted = index(operand);
      if (!hoisted)
        return Value();
      mapping.map(operand, hoisted);
    }
    return builder.clone(*op, mapping)->getResult(0);
  }

  OpBuilder &builder;
  Location loc;
  Operation *outside;
};

/// The values inside of a branch or a while that its result may be; none for
/// any other value.
SmallVector<Value> possibleValues(Value value) {
  if (auto branch = value.getDefiningOp<scf::IfOp>()) {
    unsigned result = cast<OpResult>(value).getResultNumber();
    return {branch.thenYield().getOperand(result), branch.elseYield().getOperand(result)};
  }
  if (auto loop = value.getDefiningOp<scf::WhileOp>())
    return {loop.getConditionOp().getArgs()[cast<OpResult>(value).getResultNumber()]};
  return {};
}

/// Whether `op` measures the result of a branch or a while.
bool measuresRegion(tensor::DimOp op) { return op.getConstantIndex() && !possibleValues(op.getSource()).empty(); }

/// All possible values have equal sizes; one whose size follows from values
/// outside of the branch or loop is read.
LogicalResult resolveRegions(func::FuncOp function) {
  SmallVector<tensor::DimOp> sizes;
  function.walk([&](tensor::DimOp op) {
    if (measuresRegion(op))
      sizes.push_back(op);
  });
  for (tensor::DimOp op : sizes) {
    Operation *owner = op.getSource().getDefiningOp();
    OpBuilder builder(owner);
    Value size;
    for (Value value : possibleValues(op.getSource()))
      if (!size)
        size = Hoister(builder, op.getLoc(), owner).size(value, *op.getConstantIndex());
    if (!size)
      return op.emitError("the size of a result follows from nothing outside of its branch or loop");
    op.replaceAllUsesWith(size);
    op.erase();
  }
  return success();
}

/// Removes what no size needs, innermost uses first; loops count as needed only
/// by their results here.
void eraseUnused(func::FuncOp function) {
  bool changed = true;
  while (changed) {
    changed = false;
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(function.getBody().front()))) {
      if (op.hasTrait<OpTrait::IsTerminator>() || !op.use_empty())
        continue;
      op.erase();
      changed = true;
    }
  }
}

LogicalResult makeShapes(func::FuncOp function, StringRef name) {
  MLIRContext *context = function.getContext();
  OpBuilder builder(function);
  auto shapes = cast<func::FuncOp>(builder.clone(*function));
  shapes.setSymName(name);
  shapes->removeAttr("tw.load");
  shapes->setAttr("tw.shapes", builder.getUnitAttr());
  Operation *terminator = shapes.getBody().front().getTerminator();
  builder.setInsertionPoint(terminator);
  SmallVector<Value> sizes;
  for (Value result : terminator->getOperands()) {
    auto type = cast<RankedTensorType>(result.getType());
    for (int64_t i = 0; i < type.getRank(); ++i)
      sizes.push_back(builder.createOrFold<tensor::DimOp>(terminator->getLoc(), result, i));
  }
  terminator->setOperands(sizes);
  SmallVector<Type> types(sizes.size(), builder.getIndexType());
  shapes.setType(FunctionType::get(context, shapes.getArgumentTypes(), types));
  shapes.setResAttrsAttr(nullptr);

  RewritePatternSet patterns(context);
  memref::populateResolveRankedShapedTypeResultDimsPatterns(patterns);
  patterns.add<DimOfFor>(context);
  tensor::DimOp::getCanonicalizationPatterns(patterns, context);
  tensor::EmptyOp::getCanonicalizationPatterns(patterns, context);
  scf::ForOp::getCanonicalizationPatterns(patterns, context);
  FrozenRewritePatternSet frozen(std::move(patterns));
  // A size hoisted from a branch may be one of another branch's result.
  auto hasRegionSizes = [&] {
    return shapes
        .walk([](tensor::DimOp op) { return measuresRegion(op) ? WalkResult::interrupt() : WalkResult::advance(); })
        .wasInterrupted();
  };
  if (failed(applyPatternsGreedily(shapes, frozen)))
    return failure();
  while (hasRegionSizes())
    if (failed(resolveRegions(shapes)) || failed(applyPatternsGreedily(shapes, frozen)))
      return failure();
  eraseUnused(shapes);
  WalkResult result = shapes.walk([&](Operation *op) {
    bool computes = isa<linalg::LinalgOp>(op) || (isa<tensor::ExtractOp>(op));
    if (!computes)
      return WalkResult::advance();
    op->emitError("the size of an output depends on computed data; sizes must "
                  "follow from the input sizes");
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

struct MakeShapes : tilewright::impl::MakeShapesPassBase<MakeShapes> {
  void runOnOperation() override {
    SmallVector<func::FuncOp> functions(getOperation().getOps<func::FuncOp>());
    for (func::FuncOp function : functions) {
      if (function.isExternal() || function->hasAttr("tw.kernel") || function->hasAttr("tw.shapes"))
        continue;
      bool isMain = function.getSymName() == "main";
      std::string name = isMain ? "shapes" : (function.getSymName() + "_shapes").str();
      if (failed(makeShapes(function, name)))
        return signalPassFailure();
    }
  }
};

} // namespace
