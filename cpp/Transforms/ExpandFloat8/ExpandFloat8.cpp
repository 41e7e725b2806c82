//===- ExpandFloat8.cpp - Conversions of 8-bit floats in software -----------===//
//
// In:  arith.extf from, arith.truncf and conversions of integers to f8E4M3FN and f8E5M2, of scalars and vectors.
// Out: arithmetic on bits of f32. Half-precision types go by way of it, which holds them exactly, and so does f64, which is
//      rounded twice, as ml_dtypes does it.
// Here, last before conversions to LLVM: until then a conversion is one operation, which emitters recognise.
//===----------------------------------------------------------------------===//
#include "Transforms/ExpandFloat8/ExpandFloat8.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

#include <cmath>

namespace tilewright {
#define GEN_PASS_DEF_EXPANDFLOAT8PASS
#include "Transforms/ExpandFloat8/ExpandFloat8.h.inc"
} // namespace tilewright

using namespace mlir;
using namespace tilewright;

namespace {

bool isFloat8(Type type) { return isa<Float8E4M3FNType, Float8E5M2Type>(getElementTypeOrSelf(type)); }

/// Bits of the mantissa, and what is added to the exponent.
struct Layout {
  int64_t mantissa, bias;
};

constexpr Layout kSingle{23, 127};

Layout layoutOf(Type type) { return isa<Float8E4M3FNType>(getElementTypeOrSelf(type)) ? Layout{3, 7} : Layout{2, 15}; }

/// Operations on one value, or on all elements of a vector.
class Bits {
public:
  Bits(PatternRewriter &rewriter, Location loc, Type shape) : rewriter(rewriter), loc(loc), shape(shape) {}

  /// `element`, in the shape of what is converted.
  Type typed(Type element) const {
    auto vector = dyn_cast<VectorType>(shape);
    return vector ? Type(vector.clone(element)) : element;
  }
  Type integer(int64_t bits) const { return typed(rewriter.getIntegerType(bits)); }
  Value constant(Type type, int64_t number) {
    Type element = getElementTypeOrSelf(type);
    return splat(type, rewriter.getIntegerAttr(element, APInt(element.getIntOrFloatBitWidth(), number, false, true)));
  }
  Value constant(Type type, double number) {
    return splat(type, rewriter.getFloatAttr(getElementTypeOrSelf(type), number));
  }
  template <typename Op, typename... Arguments> Value make(Arguments... arguments) {
    return Op::create(rewriter, loc, arguments...);
  }
  Value select(Value condition, Value a, Value b) { return make<arith::SelectOp>(condition, a, b); }
  Value shiftLeft(Value a, int64_t by) { return make<arith::ShLIOp>(a, constant(a.getType(), by)); }
  Value shiftRight(Value a, int64_t by) { return make<arith::ShRUIOp>(a, constant(a.getType(), by)); }
  Value keep(Value a, int64_t mask) { return make<arith::AndIOp>(a, constant(a.getType(), mask)); }
  Value plus(Value a, int64_t b) { return make<arith::AddIOp>(a, constant(a.getType(), b)); }
  Value compare(arith::CmpIPredicate predicate, Value a, int64_t b) {
    return make<arith::CmpIOp>(predicate, a, constant(a.getType(), b));
  }

private:
  Value splat(Type type, TypedAttr element) {
    if (auto shaped = dyn_cast<ShapedType>(type))
      return make<arith::ConstantOp>(cast<TypedAttr>(Attribute(DenseElementsAttr::get(shaped, Attribute(element)))));
    return make<arith::ConstantOp>(element);
  }

  PatternRewriter &rewriter;
  Location loc;
  Type shape;
};

/// From 8 bits to f32: the exponent gets the other bias; what is below the normal numbers is an integer times the smallest
/// one.
struct ExpandExtension : OpRewritePattern<arith::ExtFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::ExtFOp op, PatternRewriter &rewriter) const override {
    Type from = op.getIn().getType();
    if (!isFloat8(from))
      return rewriter.notifyMatchFailure(op, "widens no 8-bit float");
    Bits bits(rewriter, op.getLoc(), from);
    Type f32 = bits.typed(rewriter.getF32Type()), wide = bits.integer(32);
    Layout narrow = layoutOf(from), single = kSingle;
    Value code = bits.make<arith::ExtUIOp>(wide, bits.make<arith::BitcastOp>(bits.integer(8), op.getIn()));
    Value magnitude = bits.keep(code, 0x7F), sign = bits.shiftLeft(bits.keep(code, 0x80), 24);
    int64_t shift = single.mantissa - narrow.mantissa;
    Value normal = bits.plus(bits.shiftLeft(magnitude, shift), (single.bias - narrow.bias) << single.mantissa);
    // Exact: a few bits.
    double least = std::ldexp(1.0, 1 - narrow.bias - narrow.mantissa);
    Value tiny = bits.make<arith::BitcastOp>(
        wide, bits.make<arith::MulFOp>(bits.make<arith::UIToFPOp>(f32, magnitude), bits.constant(f32, least)));
    Value isTiny = bits.compare(arith::CmpIPredicate::ult, magnitude, int64_t{1} << narrow.mantissa);
    Value number = bits.select(isTiny, tiny, normal);
    // The largest exponent means infinity and NaN, but in e4m3fn only the last code does.
    bool hasInfinity = narrow.mantissa == 2;
    Value isSpecial = bits.compare(arith::CmpIPredicate::uge, magnitude, hasInfinity ? 0x7C : 0x7F);
    Value special = bits.make<arith::OrIOp>(bits.shiftLeft(magnitude, shift), bits.constant(wide, int64_t{0x7F800000}));
    number = bits.select(isSpecial, special, number);
    Value result = bits.make<arith::BitcastOp>(f32, bits.make<arith::OrIOp>(number, sign));
    Type to = op.getType();
    if (unsigned width = getElementTypeOrSelf(to).getIntOrFloatBitWidth(); width > 32)
      result = bits.make<arith::ExtFOp>(to, result);
    else if (width < 32)
      result = bits.make<arith::TruncFOp>(to, result);
    rewriter.replaceOp(op, result);
    return success();
  }
};

/// To 8 bits: what is cut off is rounded by an addition that carries into the exponent. Below the normal numbers, the
/// addition of a number whose last bit is the smallest one rounds.
struct ExpandTruncation : OpRewritePattern<arith::TruncFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::TruncFOp op, PatternRewriter &rewriter) const override {
    if (!isFloat8(op.getType()))
      return rewriter.notifyMatchFailure(op, "makes no 8-bit float");
    Bits bits(rewriter, op.getLoc(), op.getType());
    Value in = op.getIn();
    Type type = bits.typed(rewriter.getF32Type()), wide = bits.integer(32);
    if (unsigned width = getElementTypeOrSelf(in.getType()).getIntOrFloatBitWidth(); width < 32)
      in = bits.make<arith::ExtFOp>(type, in);
    else if (width > 32)
      in = bits.make<arith::TruncFOp>(type, in);
    Layout narrow = layoutOf(op.getType()), source = kSingle;
    Value code = bits.make<arith::BitcastOp>(wide, in);
    Value sign = bits.keep(bits.shiftRight(code, 24), 0x80);
    Value magnitude = bits.keep(code, INT32_MAX);
    int64_t cut = source.mantissa - narrow.mantissa;
    Value odd = bits.keep(bits.shiftRight(magnitude, cut), 1);
    Value rounded = bits.plus(bits.make<arith::AddIOp>(magnitude, odd), (int64_t{1} << (cut - 1)) - 1);
    Value normal = bits.plus(bits.shiftRight(rounded, cut), -((source.bias - narrow.bias) << narrow.mantissa));
    double magic = std::ldexp(1.0, source.mantissa + 1 - narrow.bias - narrow.mantissa);
    int64_t magicBits = (source.mantissa + 1 - narrow.bias - narrow.mantissa + source.bias) << source.mantissa;
    Value sum = bits.make<arith::AddFOp>(bits.make<arith::BitcastOp>(type, magnitude), bits.constant(type, magic));
    Value tiny = bits.plus(bits.make<arith::BitcastOp>(wide, sum), -magicBits);
    int64_t leastNormal = (source.bias - narrow.bias + 1) << source.mantissa;
    Value isTiny = bits.compare(arith::CmpIPredicate::ult, magnitude, leastNormal);
    // What comes after the largest number: infinity, or NaN where there is none.
    bool hasInfinity = narrow.mantissa == 2;
    Value above = bits.constant(wide, int64_t{hasInfinity ? 0x7C : 0x7F});
    Value number = bits.select(isTiny, tiny, bits.make<arith::MinSIOp>(normal, above));
    int64_t infinity = (2 * source.bias + 1) << source.mantissa;
    Value isNan = bits.compare(arith::CmpIPredicate::ugt, magnitude, infinity);
    number = bits.select(isNan, bits.constant(wide, int64_t{hasInfinity ? 0x7E : 0x7F}), number);
    Value byte = bits.make<arith::TruncIOp>(bits.integer(8), bits.make<arith::OrIOp>(number, sign));
    rewriter.replaceOp(op, bits.make<arith::BitcastOp>(op.getType(), byte));
    return success();
  }
};

/// From integers by way of f32, from which upstream folds lead here.
template <typename Op> struct ExpandFromInteger : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const override {
    if (!isFloat8(op.getType()))
      return rewriter.notifyMatchFailure(op, "makes no 8-bit float");
    Bits bits(rewriter, op.getLoc(), op.getType());
    Value wide = bits.make<Op>(bits.typed(rewriter.getF32Type()), op.getIn());
    rewriter.replaceOp(op, bits.make<arith::TruncFOp>(op.getType(), wide));
    return success();
  }
};

struct ExpandFloat8Pass : tilewright::impl::ExpandFloat8PassBase<ExpandFloat8Pass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns
        .add<ExpandExtension, ExpandTruncation, ExpandFromInteger<arith::SIToFPOp>, ExpandFromInteger<arith::UIToFPOp>>(
            &getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
