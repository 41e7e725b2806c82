//===- Shapes.cpp - Operations that move elements ---------------------------===//
#include "Conversion/TwToLinalg/TwToLinalg.h"

#include "Tw/Scalar.h"
#include "Tw/TwDialect.h"

#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/DialectConversion.h"

using namespace mlir;
using namespace tilewright;
using tw::common::dimSize;
using tw::common::dimSizes;

namespace {

Value asValue(OpBuilder &builder, Location loc, OpFoldResult number) {
  return getValueOrCreateConstantIndexOp(builder, loc, number);
}

/// The offset moved so that a box of `size` elements `stride` apart lies inside `whole`; constants that do are kept.
OpFoldResult clampOffset(OpBuilder &builder, Location loc, OpFoldResult offset, OpFoldResult size, OpFoldResult stride,
                         OpFoldResult whole) {
  std::optional<int64_t> from = getConstantIntValue(offset), count = getConstantIntValue(size),
                         step = getConstantIntValue(stride), limit = getConstantIntValue(whole);
  if (from == 0 || (from && *from > 0 && count && step && limit && *from + (*count - 1) * *step < *limit))
    return offset;
  Value one = arith::ConstantIndexOp::create(builder, loc, 1), zero = arith::ConstantIndexOp::create(builder, loc, 0);
  Value reach = arith::SubIOp::create(builder, loc, asValue(builder, loc, size), one);
  reach = arith::MulIOp::create(builder, loc, reach, asValue(builder, loc, stride));
  reach = arith::AddIOp::create(builder, loc, reach, one);
  Value last = arith::SubIOp::create(builder, loc, asValue(builder, loc, whole), reach);
  Value clamped = arith::MinSIOp::create(builder, loc, asValue(builder, loc, offset), last);
  return arith::MaxSIOp::create(builder, loc, clamped, zero).getResult();
}

/// The mixed values of `numbers` with the converted operands `values`.
SmallVector<OpFoldResult> mix(ArrayRef<int64_t> numbers, ValueRange values, MLIRContext *context) {
  return getMixedValues(numbers, values, context);
}

struct LowerSlice : OpConversionPattern<tw::SliceOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(tw::SliceOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    MLIRContext *context = op.getContext();
    SmallVector<OpFoldResult> offsets = mix(op.getStaticOffsets(), adaptor.getOffsets(), context);
    SmallVector<OpFoldResult> sizes = mix(op.getStaticSizes(), adaptor.getSizes(), context);
    SmallVector<OpFoldResult> strides = mix(op.getStaticStrides(), adaptor.getStrides(), context);
    for (auto [dim, offset] : llvm::enumerate(offsets))
      offset = clampOffset(rewriter, op.getLoc(), offset, sizes[dim], strides[dim],
                           dimSize(rewriter, op.getLoc(), adaptor.getInput(), dim));
    auto type = cast<RankedTensorType>(getTypeConverter()->convertType(op.getType()));
    rewriter.replaceOpWithNewOp<tensor::ExtractSliceOp>(op, type, adaptor.getInput(), offsets, sizes, strides);
    return success();
  }
};

struct LowerUpdateSlice : OpConversionPattern<tw::UpdateSliceOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(tw::UpdateSliceOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    SmallVector<OpFoldResult> offsets = mix(op.getStaticOffsets(), adaptor.getOffsets(), op.getContext());
    SmallVector<OpFoldResult> sizes = dimSizes(rewriter, loc, adaptor.getUpdate());
    OpFoldResult one = rewriter.getIndexAttr(1);
    for (auto [dim, offset] : llvm::enumerate(offsets))
      offset = clampOffset(rewriter, loc, offset, sizes[dim], one, dimSize(rewriter, loc, adaptor.getInput(), dim));
    rewriter.replaceOpWithNewOp<tensor::InsertSliceOp>(op, adaptor.getUpdate(), adaptor.getInput(), offsets, sizes,
                                                       SmallVector<OpFoldResult>(sizes.size(), one));
    return success();
  }
};

struct LowerConcat : OpConversionPattern<tw::ConcatOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(tw::ConcatOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    int64_t axis = op.getAxis();
    auto type = cast<RankedTensorType>(getTypeConverter()->convertType(op.getType()));
    OpFoldResult zero = rewriter.getIndexAttr(0), one = rewriter.getIndexAttr(1);
    SmallVector<OpFoldResult> ends{zero};
    for (Value input : adaptor.getInputs()) {
      OpFoldResult size = dimSize(rewriter, loc, input, axis);
      std::optional<int64_t> begin = getConstantIntValue(ends.back()), count = getConstantIntValue(size);
      if (begin && count)
        ends.push_back(rewriter.getIndexAttr(*begin + *count));
      else
        ends.push_back(
            arith::AddIOp::create(rewriter, loc, asValue(rewriter, loc, ends.back()), asValue(rewriter, loc, size))
                .getResult());
    }
    SmallVector<OpFoldResult> sizes = dimSizes(rewriter, loc, adaptor.getInputs().front());
    sizes[axis] = ends.back();
    tw::common::preferStaticSizes(type, rewriter, sizes);
    Value result = tensor::EmptyOp::create(rewriter, loc, sizes, type.getElementType());
    if (result.getType() != type)
      result = tensor::CastOp::create(rewriter, loc, type, result);
    for (auto [input, begin] : llvm::zip(adaptor.getInputs(), ends)) {
      SmallVector<OpFoldResult> offsets(type.getRank(), zero), strides(type.getRank(), one);
      offsets[axis] = begin;
      result =
          tensor::InsertSliceOp::create(rewriter, loc, input, result, offsets, dimSizes(rewriter, loc, input), strides);
    }
    rewriter.replaceOp(op, result);
    return success();
  }
};

struct LowerPad : OpConversionPattern<tw::PadOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(tw::PadOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Value border = tensor::ExtractOp::create(rewriter, loc, adaptor.getValue(), ValueRange());
    SmallVector<OpFoldResult> low = getAsIndexOpFoldResult(op.getContext(), op.getLow());
    SmallVector<OpFoldResult> high = getAsIndexOpFoldResult(op.getContext(), op.getHigh());
    auto type = cast<RankedTensorType>(getTypeConverter()->convertType(op.getType()));
    rewriter.replaceOpWithNewOp<tensor::PadOp>(op, type, adaptor.getInput(), low, high, border);
    return success();
  }
};

/// Positions are visited in order by a loop; each takes one box of the tensor, combines and puts it back.
struct LowerScatter : OpConversionPattern<tw::ScatterOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(tw::ScatterOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    int64_t axis = op.getAxis();
    Value zero = arith::ConstantIndexOp::create(rewriter, loc, 0),
          one = arith::ConstantIndexOp::create(rewriter, loc, 1);
    Value count = asValue(rewriter, loc, dimSize(rewriter, loc, adaptor.getIndices(), 0));
    Value size = asValue(rewriter, loc, dimSize(rewriter, loc, adaptor.getInput(), axis));
    SmallVector<OpFoldResult> sizes = dimSizes(rewriter, loc, adaptor.getInput());
    sizes[axis] = rewriter.getIndexAttr(1);
    auto loop = scf::ForOp::create(
        rewriter, loc, zero, count, one, adaptor.getInput(),
        [&](OpBuilder &b, Location at, Value k, ValueRange carried) {
          Value index = tensor::ExtractOp::create(b, at, adaptor.getIndices(), k);
          bool isUnsigned = op.getIndices().getType().getElementType().isUnsignedInteger();
          index = isUnsigned ? arith::IndexCastUIOp::create(b, at, b.getIndexType(), index).getResult()
                             : arith::IndexCastOp::create(b, at, b.getIndexType(), index).getResult();
          tw::ScalarBuilder s(b, at, b.getIndexType());
          index = s.select(s.compare("lt", index, zero), s.add(index, size), index);
          Value inside = s.make<arith::AndIOp>(s.compare("ge", index, zero), s.compare("lt", index, size));
          Value safe = s.select(inside, index, zero);
          SmallVector<OpFoldResult> where(sizes.size(), b.getIndexAttr(0)), taken(where);
          SmallVector<OpFoldResult> strides(sizes.size(), b.getIndexAttr(1));
          where[axis] = safe;
          taken[axis] = k;
          Value old = tensor::ExtractSliceOp::create(b, at, carried[0], where, sizes, strides);
          Value update = tensor::ExtractSliceOp::create(b, at, adaptor.getUpdates(), taken, sizes, strides);
          Value next = combine(op, b, at, old, update, inside);
          next = tensor::InsertSliceOp::create(b, at, next, carried[0], where, sizes, strides);
          scf::YieldOp::create(b, at, next);
        });
    rewriter.replaceOp(op, loop.getResults());
    return success();
  }

private:
  static Value combine(tw::ScatterOp op, OpBuilder &builder, Location loc, Value old, Value update, Value inside) {
    auto type = cast<RankedTensorType>(old.getType());
    AffineMap identity = builder.getMultiDimIdentityMap(type.getRank());
    SmallVector<utils::IteratorType> iterators(type.getRank(), utils::IteratorType::parallel);
    return linalg::GenericOp::create(builder, loc, type, update, old, ArrayRef{identity, identity}, iterators,
                                     [&](OpBuilder &b, Location at, ValueRange scalars) {
                                       tw::ScalarBuilder s(b, at, op.getType().getElementType());
                                       Value next = scalars[0];
                                       if (op.getKind() == "add")
                                         next = s.add(scalars[1], next);
                                       else if (op.getKind() != "set")
                                         next =
                                             op.getKind() == "max" ? s.max(scalars[1], next) : s.min(scalars[1], next);
                                       linalg::YieldOp::create(b, at, s.select(inside, next, scalars[1]));
                                     })
        .getResult(0);
  }
};

//===----------------------------------------------------------------------===//
// Between tensors and indices
//===----------------------------------------------------------------------===//
struct LowerDim : OpConversionPattern<tw::DimOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(tw::DimOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<tensor::DimOp>(op, adaptor.getInput(), op.getAxis());
    return success();
  }
};

struct LowerToIndex : OpConversionPattern<tw::ToIndexOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(tw::ToIndexOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    Value number = tensor::ExtractOp::create(rewriter, op.getLoc(), adaptor.getInput(), ValueRange());
    if (getElementTypeOrSelf(op.getInput()).isUnsignedInteger())
      rewriter.replaceOpWithNewOp<arith::IndexCastUIOp>(op, rewriter.getIndexType(), number);
    else
      rewriter.replaceOpWithNewOp<arith::IndexCastOp>(op, rewriter.getIndexType(), number);
    return success();
  }
};

struct LowerFromIndex : OpConversionPattern<tw::FromIndexOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(tw::FromIndexOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    Value number = arith::IndexCastOp::create(rewriter, op.getLoc(), rewriter.getI64Type(), adaptor.getInput());
    rewriter.replaceOpWithNewOp<tensor::FromElementsOp>(op, cast<RankedTensorType>(op.getType()), number);
    return success();
  }
};

struct LowerCheck : OpConversionPattern<tw::CheckOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(tw::CheckOp op, OpAdaptor adaptor, ConversionPatternRewriter &rewriter) const override {
    Value flag = tensor::ExtractOp::create(rewriter, op.getLoc(), adaptor.getCondition(), ValueRange());
    rewriter.replaceOpWithNewOp<tw::CheckOp>(op, flag, op.getMessage());
    return success();
  }
};
} // namespace

void tilewright::populateShapesToTensorPatterns(const TypeConverter &converter, RewritePatternSet &patterns) {
  patterns.add<LowerSlice, LowerUpdateSlice, LowerConcat, LowerPad, LowerScatter, LowerDim, LowerToIndex,
               LowerFromIndex, LowerCheck>(converter, patterns.getContext());
}
