//===- Reshape.cpp - Reshapes become collapse and expand --------------------===//
//
// A reshape is cut into segments: runs of dimensions of the operand and of the result that hold equally many elements.
// Each run of the operand collapses into one dimension, which expands into the run of the result, so that what can be
// seen to stay apart (a batch, the rows of a matrix) stays apart and fusion can look through it.
//
//===----------------------------------------------------------------------===//
#include "Conversion/TwToLinalg/SizeTrace.h"
#include "Conversion/TwToLinalg/TwToLinalg.h"

#include "Tw/TwDialect.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/DialectConversion.h"

using namespace mlir;
using namespace tilewright;

namespace {

/// A product of sizes.
struct Product {
  int64_t number = 1;
  SmallVector<std::pair<const void *, int64_t>> sources;

  void multiply(const Size &size) {
    number *= size.number;
    if (size.source) {
      sources.emplace_back(size.source.getAsOpaquePointer(), size.dim);
      llvm::sort(sources);
    }
  }
  bool operator==(const Product &other) const { return number == other.number && sources == other.sources; }
  /// Whether `other` needs no more factors that this one lacks.
  bool divides(const Product &other) const {
    return number && other.number % number == 0 &&
           std::includes(other.sources.begin(), other.sources.end(), sources.begin(), sources.end());
  }
};

struct Segments {
  SmallVector<ReassociationIndices> from, to;
};

/// Cuts both shapes into runs of equal products; what cannot be told apart ends in one run.
Segments findSegments(ArrayRef<Size> from, ArrayRef<Size> to) {
  Segments segments;
  size_t i = 0, j = 0;
  while (i < from.size() && j < to.size()) {
    ReassociationIndices left, right;
    Product have, want;
    auto takeLeft = [&] { left.push_back(i), have.multiply(from[i++]); };
    auto takeRight = [&] { right.push_back(j), want.multiply(to[j++]); };
    takeLeft();
    takeRight();
    while (!(have == want) && (i < from.size() || j < to.size())) {
      bool extendLeft = have.divides(want), extendRight = want.divides(have);
      if ((extendLeft || !extendRight) && i < from.size())
        takeLeft();
      if ((extendRight || !extendLeft) && j < to.size() && !(have == want))
        takeRight();
      if ((extendLeft && i == from.size() && !(have == want)) || (extendRight && j == to.size() && !(have == want))) {
        // One side is used up and the products cannot meet: the rest is one run.
        while (i < from.size())
          takeLeft();
        while (j < to.size())
          takeRight();
        break;
      }
    }
    segments.from.push_back(left);
    segments.to.push_back(right);
  }
  // What is left on one side are units.
  for (; i < from.size() && !segments.from.empty(); ++i)
    segments.from.back().push_back(i);
  for (; j < to.size() && !segments.to.empty(); ++j)
    segments.to.back().push_back(j);
  return segments;
}

/// The shape after each run of `type` became one dimension.
RankedTensorType collapsedType(RankedTensorType type, ArrayRef<ReassociationIndices> runs) {
  SmallVector<int64_t> shape;
  for (const ReassociationIndices &run : runs) {
    int64_t size = 1;
    for (int64_t dim : run)
      size = type.isDynamicDim(dim) || ShapedType::isDynamic(size) ? ShapedType::kDynamic : size * type.getDimSize(dim);
    shape.push_back(size);
  }
  return type.clone(shape);
}

struct LowerReshape : OpConversionPattern<tw::ReshapeOp> {
  using OpConversionPattern::OpConversionPattern;

  LogicalResult matchAndRewrite(tw::ReshapeOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Value value = adaptor.getInput();
    auto from = cast<RankedTensorType>(value.getType());
    auto to = cast<RankedTensorType>(getTypeConverter()->convertType(op.getType()));
    auto castTo = [&](RankedTensorType type) {
      if (value.getType() != type)
        value = tensor::CastOp::create(rewriter, loc, type, value);
    };
    if (from.getRank() == 0 || to.getRank() == 0) {
      auto units = [](RankedTensorType type) { return type.clone(SmallVector<int64_t>(type.getRank(), 1)); };
      castTo(units(from));
      if (from.getRank() != 0)
        value = tensor::CollapseShapeOp::create(rewriter, loc, to, value, ArrayRef<ReassociationIndices>());
      else if (to.getRank() != 0)
        value = tensor::ExpandShapeOp::create(rewriter, loc, units(to), value, ArrayRef<ReassociationIndices>());
      castTo(to);
      rewriter.replaceOp(op, value);
      return success();
    }
    Segments segments = segmentsOf(op);
    auto isSingle = [](const ReassociationIndices &run) { return run.size() == 1; };
    if (!llvm::all_of(segments.from, isSingle))
      value = tensor::CollapseShapeOp::create(rewriter, loc, collapsedType(from, segments.from), value, segments.from);
    // The size of a run may be known on one side only.
    castTo(collapsedType(to, segments.to));
    if (!llvm::all_of(segments.to, isSingle)) {
      SmallVector<OpFoldResult> sizes = tw::common::mixSizes(rewriter, to, adaptor.getSizes());
      value = tensor::ExpandShapeOp::create(rewriter, loc, to, value, segments.to, sizes);
    }
    castTo(to);
    rewriter.replaceOp(op, value);
    return success();
  }

private:
  static Segments segmentsOf(tw::ReshapeOp op) {
    SmallVector<Size> from, to;
    for (int64_t dim = 0; dim < op.getInput().getType().getRank(); ++dim)
      from.push_back(traceDim(op.getInput(), dim));
    for (int64_t dim = 0; dim < op.getType().getRank(); ++dim)
      to.push_back(traceDim(op.getResult(), dim));
    // With one unknown on each side and equal numbers beside them, the unknowns are equal.
    Product have, want;
    auto multiply = [](ArrayRef<Size> sizes, Product &product) {
      Size *unknown = nullptr;
      for (const Size &size : sizes) {
        product.multiply(size);
        if (size.source)
          unknown = const_cast<Size *>(&size);
      }
      return unknown;
    };
    Size *left = multiply(from, have), *right = multiply(to, want);
    if (have.sources.size() == 1 && want.sources.size() == 1 && have.number == want.number && have.number) {
      right->source = left->source;
      right->dim = left->dim;
    }
    return findSegments(from, to);
  }
};
} // namespace

void tilewright::populateReshapeToTensorPatterns(const TypeConverter &converter, RewritePatternSet &patterns) {
  patterns.add<LowerReshape>(converter, patterns.getContext());
}
