//===- Structured.cpp - Loop nests become linalg.generic --------------------===//
#include "Conversion/TwToLinalg/TwToLinalg.h"

#include "Tw/Scalar.h"
#include "Tw/TwDialect.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/DialectConversion.h"

using namespace mlir;
using namespace tilewright;

namespace {

/// An elementwise conversion of the element type, where accumulators are wider than results.
Value castElements(OpBuilder &builder, Location loc, Value value, Type element) {
  auto type = cast<RankedTensorType>(value.getType());
  Value empty = tensor::EmptyOp::create(builder, loc, tw::common::dimSizes(builder, loc, value), element);
  AffineMap identity = builder.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> iterators(type.getRank(), utils::IteratorType::parallel);
  return linalg::GenericOp::create(builder, loc, type.clone(element), value, empty, ArrayRef{identity, identity},
                                   iterators,
                                   [&](OpBuilder &inner, Location at, ValueRange scalars) {
                                     tw::ScalarBuilder scalar(inner, at, type.getElementType());
                                     linalg::YieldOp::create(inner, at, scalar.cast(scalars[0], element));
                                   })
      .getResult(0);
}

/// Sizes do not depend on the point: they are asked for once, before the loops.
void hoistSizes(linalg::GenericOp generic, ConversionPatternRewriter &rewriter) {
  for (Operation &op : llvm::make_early_inc_range(generic.getBody()->without_terminator())) {
    bool isInvariant =
        llvm::all_of(op.getOperands(), [&](Value operand) { return operand.getParentBlock() != generic.getBody(); });
    if (isInvariant && (isa<tw::DimOp>(op) || (isa<arith::IndexCastOp, arith::SubIOp>(op) && op.getNumOperands())))
      rewriter.moveOpBefore(&op, generic);
  }
}

struct LowerStructured : OpInterfaceConversionPattern<tw::StructuredOpInterface> {
  using OpInterfaceConversionPattern::OpInterfaceConversionPattern;

  LogicalResult matchAndRewrite(tw::StructuredOpInterface op, ArrayRef<Value> operands,
                                ConversionPatternRewriter &rewriter) const override {
    if (auto composite = dyn_cast<tw::CompositeOpInterface>(op.getOperation()); composite && composite.isComposite())
      return refuse(rewriter, op, "it has to be decomposed first (tw-normalize)");
    Location loc = op.getLoc();
    SmallVector<Value> inputs = op.getLoopInputs(rewriter, loc, operands);
    auto sizes = tw::common::loopOutputSizes(op, rewriter, operands, inputs);
    if (failed(sizes))
      return refuse(rewriter, op, "the size of a loop is unknown");

    SmallVector<Value> outputs;
    SmallVector<Type> outputTypes;
    for (auto [index, size] : llvm::enumerate(*sizes)) {
      outputs.push_back(createOutput(op, index, size, rewriter));
      outputTypes.push_back(outputs.back().getType());
    }
    auto generic = linalg::GenericOp::create(
        rewriter, loc, outputTypes, inputs, outputs, op.getLoopMaps(), op.getLoopIterators(),
        [&](OpBuilder &builder, Location at, ValueRange scalars) {
          linalg::YieldOp::create(builder, at, op.buildLoopBody(builder, at, scalars, operands));
        });
    if (op.isLoopOrdered())
      generic->setAttr("tw.lowering", rewriter.getStringAttr("loops"));
    // Fusion treats what widens stored integers differently from other elementwise work.
    if (isa<tw::DequantizeOp>(op.getOperation()))
      generic->setAttr("tw.dequantize", rewriter.getUnitAttr());
    hoistSizes(generic, rewriter);

    SmallVector<Value> results;
    for (auto [index, type] : llvm::enumerate(op->getResultTypes()))
      results.push_back(finish(op, generic.getResult(index), getTypeConverter()->convertType(type), rewriter));
    rewriter.replaceOp(op, results);
    return success();
  }

private:
  static Value createOutput(tw::StructuredOpInterface op, unsigned index, SmallVector<OpFoldResult> &sizes,
                            OpBuilder &builder) {
    Location loc = op.getLoc();
    if (index < op->getNumResults()) {
      auto type = cast<RankedTensorType>(op->getResult(index).getType());
      if (type.getRank() == (int64_t)sizes.size())
        tw::common::preferStaticSizes(type, builder, sizes);
    }
    Value output = tensor::EmptyOp::create(builder, loc, sizes, op.getLoopElementType(index));
    TypedAttr init = op.getLoopInit(index);
    if (!init)
      return output;
    Value start = arith::ConstantOp::create(builder, loc, init);
    return linalg::FillOp::create(builder, loc, start, output).getResult(0);
  }

  static Value finish(tw::StructuredOpInterface op, Value output, Type type, OpBuilder &builder) {
    Value result = op.finishLoopResult(builder, op.getLoc(), output);
    auto target = cast<RankedTensorType>(type);
    if (getElementTypeOrSelf(result) != target.getElementType())
      result = castElements(builder, op.getLoc(), result, target.getElementType());
    if (result.getType() != target)
      result = tensor::CastOp::create(builder, op.getLoc(), target, result);
    return result;
  }
};
} // namespace

void tilewright::populateStructuredToLinalgPatterns(const TypeConverter &converter, RewritePatternSet &patterns) {
  patterns.add<LowerStructured>(converter, patterns.getContext());
}
