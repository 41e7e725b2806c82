//===- ControlFlow.cpp - Regions become scf in the host function ------------===//
#include "Conversion/TwToLinalg/SizeTrace.h"
#include "Conversion/TwToLinalg/TwToLinalg.h"

#include "Tw/TwDialect.h"

#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/DialectConversion.h"

using namespace mlir;
using namespace tilewright;

namespace {

Value readFlag(OpBuilder &builder, Location loc, Value flag) {
  return tensor::ExtractOp::create(builder, loc, flag, ValueRange());
}

/// Moves the block of `region` to the end of `target`, its arguments replaced by `values`.
LogicalResult inlineRegion(Region &region, Block *target, ValueRange values, const TypeConverter &converter,
                           ConversionPatternRewriter &rewriter) {
  FailureOr<Block *> block = rewriter.convertRegionTypes(&region, converter);
  if (failed(block))
    return failure();
  rewriter.inlineBlockBefore(*block, target, target->end(), values);
  return success();
}

struct LowerCond : OpConversionPattern<tw::CondOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(tw::CondOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    SmallVector<Type> types;
    if (failed(getTypeConverter()->convertTypes(op.getResultTypes(), types)))
      return refuse(rewriter, op, "its types cannot be converted");
    Value flag = readFlag(rewriter, op.getLoc(), adaptor.getCondition());
    auto branch = scf::IfOp::create(rewriter, op.getLoc(), types, flag, /*addThenBlock=*/true, /*addElseBlock=*/true);
    for (auto [from, to] : llvm::zip(op->getRegions(), branch->getRegions())) {
      Block *target = &to.front();
      if (!target->empty())
        rewriter.eraseOp(target->getTerminator());
      if (failed(inlineRegion(from, target, adaptor.getInputs(), *getTypeConverter(), rewriter)))
        return refuse(rewriter, op, "the arguments of a region cannot be converted");
    }
    rewriter.replaceOp(op, branch.getResults());
    return success();
  }
};

struct LowerWhile : OpConversionPattern<tw::WhileOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(tw::WhileOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    SmallVector<Type> types;
    if (failed(getTypeConverter()->convertTypes(op.getResultTypes(), types)))
      return refuse(rewriter, op, "its types cannot be converted");
    auto loop = scf::WhileOp::create(rewriter, op.getLoc(), types, adaptor.getInits());
    SmallVector<Location> locations(types.size(), op.getLoc());
    for (auto [from, to] : llvm::zip(op->getRegions(), loop->getRegions())) {
      Block *target = rewriter.createBlock(&to, to.end(), types, locations);
      if (failed(inlineRegion(from, target, target->getArguments(), *getTypeConverter(), rewriter)))
        return refuse(rewriter, op, "the arguments of a region cannot be converted");
    }
    rewriter.replaceOp(op, loop.getResults());
    return success();
  }
};

/// Position `at` of the leading dimension: offsets, sizes and strides of a box in `stacked`.
struct Position {
  Position(OpBuilder &builder, Location loc, Value stacked, Value at)
      : sizes(tw::common::dimSizes(builder, loc, stacked)), offsets(sizes.size(), builder.getIndexAttr(0)),
        strides(sizes.size(), builder.getIndexAttr(1)) {
    offsets[0] = at;
    sizes[0] = builder.getIndexAttr(1);
  }
  SmallVector<OpFoldResult> sizes, offsets, strides;
};

struct LowerScan : OpConversionPattern<tw::ScanOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(tw::ScanOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    OpFoldResult length = tw::common::dimSize(rewriter, loc, adaptor.getXs().front(), 0);
    SmallVector<Value> inits(adaptor.getInits());
    for (unsigned index = inits.size(); index < op.getNumResults(); ++index) {
      FailureOr<Value> stacked = createStack(op, adaptor, index, length, rewriter);
      if (failed(stacked))
        return refuse(rewriter, op, "the size of a stacked slice depends on what the body computes");
      inits.push_back(*stacked);
    }
    Value zero = arith::ConstantIndexOp::create(rewriter, loc, 0),
          one = arith::ConstantIndexOp::create(rewriter, loc, 1);
    Value end = getValueOrCreateConstantIndexOp(rewriter, loc, length);
    auto loop = scf::ForOp::create(rewriter, loc, zero, end, one, inits);
    Block *body = loop.getBody();
    if (!body->empty())
      rewriter.eraseOp(body->getTerminator());
    rewriter.setInsertionPointToEnd(body);
    SmallVector<Value> values(loop.getRegionIterArgs().take_front(adaptor.getInits().size()));
    for (Value x : adaptor.getXs()) {
      Position position(rewriter, loc, x, loop.getInductionVar());
      auto type = cast<RankedTensorType>(x.getType());
      values.push_back(tensor::ExtractSliceOp::create(rewriter, loc, type.clone(type.getShape().drop_front()), x,
                                                      position.offsets, position.sizes, position.strides));
    }
    if (failed(inlineRegion(op.getBody(), body, values, *getTypeConverter(), rewriter)))
      return refuse(rewriter, op, "the arguments of the body cannot be converted");
    rewriter.replaceOp(op, loop.getResults());
    return success();
  }

private:
  /// An empty tensor for the stacked result `index`.
  FailureOr<Value> createStack(tw::ScanOp op, OpAdaptor adaptor, unsigned index, OpFoldResult length,
                               ConversionPatternRewriter &rewriter) const {
    Location loc = op.getLoc();
    auto type = cast<RankedTensorType>(getTypeConverter()->convertType(op.getResult(index).getType()));
    Value yielded = op.getBody().front().getTerminator()->getOperand(index);
    SmallVector<OpFoldResult> sizes{length};
    for (int64_t dim = 1; dim < type.getRank(); ++dim) {
      OpFoldResult size = rewriter.getIndexAttr(type.getDimSize(dim));
      if (type.isDynamicDim(dim))
        size = sizeOutside(op, adaptor, traceDim(yielded, dim - 1), rewriter);
      if (!size)
        return failure();
      sizes.push_back(size);
    }
    Value stacked = tensor::EmptyOp::create(rewriter, loc, sizes, type.getElementType());
    if (stacked.getType() != type)
      stacked = tensor::CastOp::create(rewriter, loc, type, stacked);
    return stacked;
  }

  /// A size that was traced inside the body, as a value before the loop; null if it is computed inside.
  static OpFoldResult sizeOutside(tw::ScanOp op, OpAdaptor adaptor, const Size &size,
                                  ConversionPatternRewriter &rewriter) {
    if (!size.source)
      return rewriter.getIndexAttr(size.number);
    Value source = size.source;
    int64_t dim = size.dim;
    if (auto argument = dyn_cast<BlockArgument>(source); argument && argument.getOwner() == &op.getBody().front()) {
      unsigned index = argument.getArgNumber(), carried = adaptor.getInits().size();
      source = index < carried ? adaptor.getInits()[index] : adaptor.getXs()[index - carried];
      dim += index < carried ? 0 : 1;
    } else if (op.getBody().isAncestor(source.getParentRegion())) {
      return {};
    } else {
      source = rewriter.getRemappedValue(source);
    }
    return dim < 0 ? OpFoldResult(source) : tw::common::dimSize(rewriter, op.getLoc(), source, dim);
  }
};

struct LowerYield : OpConversionPattern<tw::YieldOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(tw::YieldOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    Operation *parent = op->getParentOp();
    SmallVector<Value> values(adaptor.getValues());
    if (auto loop = dyn_cast<scf::WhileOp>(parent); loop && op->getParentRegion() == &loop.getBefore()) {
      Value flag = readFlag(rewriter, op.getLoc(), values.front());
      rewriter.replaceOpWithNewOp<scf::ConditionOp>(op, flag, op->getBlock()->getArguments());
      return success();
    }
    if (auto loop = dyn_cast<scf::ForOp>(parent)) {
      // What has one dimension less than the loop carries is a slice of a stacked result.
      for (auto [value, carried] : llvm::zip(values, loop.getRegionIterArgs())) {
        if (cast<RankedTensorType>(value.getType()).getRank() == cast<RankedTensorType>(carried.getType()).getRank())
          continue;
        Position position(rewriter, op.getLoc(), carried, loop.getInductionVar());
        value = tensor::InsertSliceOp::create(rewriter, op.getLoc(), value, carried, position.offsets, position.sizes,
                                              position.strides);
      }
    } else if (!isa<scf::IfOp, scf::WhileOp>(parent)) {
      return refuse(rewriter, op, "the operation around it is not lowered");
    }
    rewriter.replaceOpWithNewOp<scf::YieldOp>(op, values);
    return success();
  }
};
} // namespace

void tilewright::populateControlFlowToScfPatterns(const TypeConverter &converter, RewritePatternSet &patterns) {
  patterns.add<LowerCond, LowerWhile, LowerScan, LowerYield>(converter, patterns.getContext());
}
