//===- FloatFunctions.cpp - float32 functions as polynomials ----------------===//
//
// In:  `math` operations on f32 or vectors of f32.
// Out: `arith` and `math.fma` that vectorise, correct for infinities, NaN, signed zeros and denormals.
// Coefficients: weighted least-squares iterations towards the minimax polynomial of each function's remainder, computed
// for this file; measured errors stand in docs/design/0009-elementary-functions.md.
//===----------------------------------------------------------------------===//
#include "Targets/Cpu/Cpu.h"

#include <limits>

using namespace mlir;
using namespace tilewright;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kLn2High = 0x1.62e400p-1f, kLn2Low = 0x1.7f7d1cp-20f; // the high part times an exponent is exact
constexpr float kLog2E = 1.44269504f;
/// Adding it rounds to an integer that then stands in the low bits.
constexpr float kRound = 0x1.8p23f;

/// Writes formulas on values of one type, f32 or a vector of it.
struct Formula {
  OpBuilder &b;
  Location loc;
  Type type, ints;
  bool hasScale; ///< AVX-512 multiplies by a power of two in one instruction, denormal results included.

  Formula(OpBuilder &b, Operation *op, const CpuFeatures &features)
      : b(b), loc(op->getLoc()), type(op->getResult(0).getType()), hasScale(features.avx512) {
    ints = b.getI32Type();
    if (auto vector = dyn_cast<VectorType>(type))
      ints = vector.clone(ints);
  }

  Value constant(Type of, Attribute value) {
    if (auto vector = dyn_cast<VectorType>(of))
      value = DenseElementsAttr::get(vector, value);
    return arith::ConstantOp::create(b, loc, of, cast<TypedAttr>(value));
  }
  Value f(float value) { return constant(type, b.getF32FloatAttr(value)); }
  Value i(int32_t value) { return constant(ints, b.getI32IntegerAttr(value)); }

  Value add(Value x, Value y) { return arith::AddFOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) { return arith::SubFOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, loc, x, y); }
  Value div(Value x, Value y) { return arith::DivFOp::create(b, loc, x, y); }
  Value fma(Value x, Value y, Value z) { return math::FmaOp::create(b, loc, x, y, z); }
  Value abs(Value x) { return math::AbsFOp::create(b, loc, x); }
  Value withSign(Value x, Value sign) { return math::CopySignOp::create(b, loc, x, sign); }
  Value select(Value c, Value x, Value y) { return arith::SelectOp::create(b, loc, c, x, y); }
  Value less(Value x, Value y) { return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, x, y); }
  Value equal(Value x, Value y) { return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ, x, y); }
  Value isNaN(Value x) { return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO, x, x); }
  Value bits(Value x) { return arith::BitcastOp::create(b, loc, ints, x); }
  Value fromBits(Value x) { return arith::BitcastOp::create(b, loc, type, x); }
  Value addi(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value subi(Value x, Value y) { return arith::SubIOp::create(b, loc, x, y); }
  Value andi(Value x, Value y) { return arith::AndIOp::create(b, loc, x, y); }
  Value shl(Value x, int n) { return arith::ShLIOp::create(b, loc, x, i(n)); }
  Value sar(Value x, int n) { return arith::ShRSIOp::create(b, loc, x, i(n)); }
  Value toFloat(Value x) { return arith::SIToFPOp::create(b, loc, type, x); }

  /// c[0] + c[1] x + ..., by Horner's rule.
  Value poly(Value x, ArrayRef<float> c) {
    Value sum = f(c.back());
    for (float term : llvm::reverse(c.drop_back()))
      sum = fma(sum, x, f(term));
    return sum;
  }
  /// x up to `high`; NaN stays NaN.
  Value clampAbove(Value x, float high) { return select(less(f(high), x), f(high), x); }
  /// x within [low, high]; NaN stays NaN.
  Value clamp(Value x, float low, float high) {
    x = select(less(x, f(low)), f(low), x);
    return clampAbove(x, high);
  }

  /// A rounded integer: as a number, and still in the low bits of what `kRound` was added to.
  struct Rounded {
    Value number, shifted;
  };
  /// 2^n for a normal result: the shift drops all bits of kRound.
  Value power(Rounded n) { return fromBits(addi(shl(bits(n.shifted), 23), i(127 << 23))); }
  /// x times 2^n, rounded once. Without the instruction: two factors whose exponents are normal.
  Value scale(Value x, Rounded n) {
    if (Value scaled = hasScale ? scaleByInstruction(x, n.number) : nullptr)
      return scaled;
    Value integer = subi(bits(n.shifted), bits(f(kRound)));
    Value half = sar(integer, 1), rest = subi(integer, half);
    Value first = fromBits(shl(addi(half, i(127)), 23)), second = fromBits(shl(addi(rest, i(127)), 23));
    return mul(mul(x, first), second);
  }
  /// vscalefps where the whole value is one register; null elsewhere.
  Value scaleByInstruction(Value x, Value n) {
    auto vector = dyn_cast<VectorType>(type);
    if (!vector || vector.getRank() != 1 || vector.isScalable())
      return nullptr;
    int64_t lanes = vector.getNumElements();
    if (lanes != 4 && lanes != 8 && lanes != 16)
      return nullptr;
    Value all = arith::ConstantOp::create(b, loc, b.getIntegerAttr(b.getIntegerType(lanes == 16 ? 16 : 8), -1));
    SmallVector<Value> operands{x, n, x, all};
    constexpr int32_t kCurrentRounding = 4;
    if (lanes == 16)
      operands.push_back(arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(kCurrentRounding)));
    auto name = b.getStringAttr("llvm.x86.avx512.mask.scalef.ps." + Twine(32 * lanes));
    return LLVM::CallIntrinsicOp::create(b, loc, type, name, operands).getResult(0);
  }

  /// x = n ln2 + r with |r| <= ln2 / 2.
  std::pair<Rounded, Value> reduceExp(Value x) {
    Value shifted = fma(x, f(kLog2E), f(kRound));
    Value n = sub(shifted, f(kRound));
    Value r = fma(n, f(-kLn2Low), fma(n, f(-kLn2High), x));
    return {{n, shifted}, r};
  }
  /// (e^r - 1 - r) / r^2
  Value expTail(Value r) {
    return poly(r, {4.999999404e-01f, 1.666651964e-01f, 4.166840762e-02f, 8.368902840e-03f, 1.381423674e-03f});
  }
  Value exp(Value x) {
    auto [n, r] = reduceExp(clamp(x, -105.0f, 89.0f));
    // A term less than expTail: 2.2 units in the last place for one of ten multiply-adds.
    Value tail = poly(r, {4.999923149e-01f, 1.666711465e-01f, 4.189015749e-02f, 8.312520329e-03f});
    return scale(fma(r, fma(r, tail, f(1.0f)), f(1.0f)), n);
  }
  /// exp where its result goes on into a formula: 0.86 units in the last place.
  Value closeExp(Value x) {
    auto [n, r] = reduceExp(clamp(x, -105.0f, 89.0f));
    return scale(fma(r, fma(r, expTail(r), f(1.0f)), f(1.0f)), n);
  }
  /// 2^x = scale (1 + part): what is left of it after 1 is taken away keeps its relative precision.
  struct Power {
    Value scale, part;
  };
  /// For |x| <= 120.
  Power powerParts(Value x) {
    Value shifted = add(x, f(kRound));
    Value n = sub(shifted, f(kRound)), r = sub(x, n);
    Value quotient = poly(r, {6.931471825e-01f, 2.402264923e-01f, 5.550357327e-02f, 9.618237615e-03f, 1.339076553e-03f,
                              1.540352241e-04f});
    return {power({n, shifted}), mul(r, quotient)};
  }
  Value exp2(Value x) {
    Value bounded = clamp(x, -151.0f, 129.0f);
    Value shifted = add(bounded, f(kRound));
    Value r = sub(bounded, sub(shifted, f(kRound)));
    Value tail = poly(r, {6.931471825e-01f, 2.402265072e-01f, 5.550410226e-02f, 9.618034586e-03f, 1.333395019e-03f,
                          1.546802232e-04f, 1.519502621e-05f});
    return scale(fma(r, tail, f(1.0f)), {sub(shifted, f(kRound)), shifted});
  }
  Value expm1(Value x) {
    Value bounded = clamp(x, -30.0f, 89.0f);
    auto [n, r] = reduceExp(bounded);
    Value value = fma(mul(r, r), expTail(r), r);
    // 2^(n-1) twice: 2^128 is no float, though the result may still be one.
    Value half = fromBits(addi(shl(bits(n.shifted), 23), i(126 << 23)));
    Value result = fma(value, half, sub(half, f(0.5f)));
    result = add(result, result);
    return select(equal(x, f(0.0f)), x, result);
  }

  struct Log {
    Value exponent, f, tail; ///< log(x) = exponent ln2 + f + tail
  };
  /// For positive finite x; denormals included.
  Log log(Value x) {
    Value tiny = less(x, f(0x1p-126f));
    Value scaled = select(tiny, mul(x, f(0x1p23f)), x);
    Value offset = select(tiny, f(-23.0f), f(0.0f));
    constexpr int32_t kSqrtHalf = 0x3f3504f3;
    Value number = bits(scaled);
    Value e = sar(subi(number, i(kSqrtHalf)), 23);
    Value mantissa = fromBits(subi(number, shl(e, 23)));
    Value m = sub(mantissa, f(1.0f));
    Value q = poly(m, {3.333331048e-01f, -2.499998659e-01f, 2.000222802e-01f, -1.666924357e-01f, 1.421861798e-01f,
                       -1.238445640e-01f, 1.187341511e-01f, -1.178927571e-01f, 6.913621724e-02f});
    Value square = mul(m, m);
    // m - m^2/2 must not lose the low bits of m^2/2: its rounding error is added back.
    Value error = fma(m, m, mul(square, f(-1.0f)));
    Value tail = fma(mul(square, m), q, mul(error, f(-0.5f)));
    return {add(toFloat(e), offset), m, fma(square, f(-0.5f), tail)};
  }
  /// Gives `result`, computed for ordinary x, its values elsewhere.
  Value logEdges(Value x, Value result) {
    result = select(equal(x, f(kInf)), x, result);
    result = select(equal(x, f(0.0f)), f(-kInf), result);
    Value invalid = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::ULT, x, f(0.0f));
    return select(invalid, f(kNaN), result);
  }
  Value ln(Value x) {
    Log l = log(x);
    Value small = fma(l.exponent, f(kLn2Low), l.tail);
    return logEdges(x, fma(l.exponent, f(kLn2High), add(l.f, small)));
  }
  /// exponent * unit + (f + tail) * factor, the factor and the unit in two parts.
  Value logBase(Value x, float unitHigh, float unitLow, float factor, float factorLow) {
    Log l = log(x);
    Value low = fma(l.exponent, f(unitLow), mul(l.f, f(factorLow)));
    low = fma(l.tail, f(factor), low);
    // The product with f is the large part: its rounding error joins the small ones.
    Value product = mul(l.f, f(factor));
    low = add(low, fma(l.f, f(factor), mul(product, f(-1.0f))));
    Value high = mul(l.exponent, f(unitHigh));
    Value sum = add(high, product);
    Value lost = sub(product, sub(sum, high)); // |high| >= |product| or high == 0
    return logEdges(x, add(sum, add(lost, low)));
  }
  Value log1p(Value x) {
    Value one = f(1.0f), u = add(x, one);
    Value bounded = select(equal(u, f(kInf)), one, u);
    Log l = log(bounded);
    // What rounding 1 + x lost, relative to u.
    Value lost = sub(x, sub(u, one));
    Value lostBig = sub(one, sub(u, x));
    Value correction = div(select(less(one, x), lostBig, lost), bounded);
    Value small = fma(l.exponent, f(kLn2Low), add(l.tail, correction));
    Value result = fma(l.exponent, f(kLn2High), add(l.f, small));
    result = logEdges(u, result);
    return select(less(abs(x), f(0x1p-25f)), x, result);
  }

  /// (e^2x - 1) / (e^2x + 1)
  Value tanh(Value x) {
    Power e = powerParts(mul(clampAbove(abs(x), 10.0f), f(2 * kLog2E)));
    Value less1 = fma(e.scale, e.part, sub(e.scale, f(1.0f)));
    return withSign(div(less1, add(less1, f(2.0f))), x);
  }
  /// 1 - 2^-y with y = -log2(1 - erf|x|), which is |x| times a smooth function.
  Value erf(Value x) {
    Value bounded = clampAbove(abs(x), 4.0f);
    Value minusY =
        mul(bounded, poly(bounded, {-1.627907038e+00f, -9.184434414e-01f, -1.483298540e-01f, 2.787538432e-02f,
                                    -2.968404442e-04f, -1.805850305e-03f, 5.496545928e-04f, -5.872737893e-05f}));
    Power e = powerParts(minusY);
    Value left = sub(f(1.0f), e.scale);
    return withSign(fma(mul(e.scale, f(-1.0f)), e.part, left), x);
  }
  /// sinh and cosh beyond the range of exp itself: e^(x/2) squared, halved in between.
  Value halfExp(Value magnitude) {
    Value root = closeExp(mul(magnitude, f(0.5f)));
    return mul(mul(root, f(0.5f)), root);
  }
  Value sinh(Value x) {
    Value magnitude = abs(x), e = expm1(magnitude);
    Value near = mul(f(0.5f), add(e, div(e, add(e, f(1.0f)))));
    return withSign(select(less(magnitude, f(80.0f)), near, halfExp(magnitude)), x);
  }
  Value cosh(Value x) {
    Value magnitude = abs(x), e = closeExp(magnitude);
    Value near = fma(f(0.5f), e, div(f(0.5f), e));
    return select(less(magnitude, f(80.0f)), near, halfExp(magnitude));
  }

  struct Angle {
    Value quadrant, sine, cosine;
  };
  /// For |x| <= 1e5: x = quadrant pi/2 + r; sine and cosine of r.
  Angle angle(Value x) {
    Value shifted = fma(x, f(0.636619772f), f(kRound));
    Value n = sub(shifted, f(kRound));
    Value r = fma(n, f(-0x1.921fb6p+0f), x);
    r = fma(n, f(0x1.777a5cp-25f), r);
    r = fma(n, f(0x1.ee59dap-50f), r);
    Value square = mul(r, r);
    Value sine = fma(mul(r, square),
                     poly(square, {-1.666666716e-01f, 8.333329111e-03f, -1.983925613e-04f, 2.717564485e-06f}), r);
    Value cosine = fma(mul(square, square),
                       poly(square, {4.166666791e-02f, -1.388888340e-03f, 2.479943578e-05f, -2.720330485e-07f}),
                       fma(square, f(-0.5f), f(1.0f)));
    return {subi(bits(shifted), bits(f(kRound))), sine, cosine};
  }
  Value isOdd(Value n) { return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, andi(n, i(1)), i(0)); }
  Value signFrom(Value n) { return shl(andi(n, i(2)), 30); }
  Value flip(Value x, Value sign) { return fromBits(arith::XOrIOp::create(b, loc, bits(x), sign)); }
  Value sin(Value x) {
    Angle a = angle(x);
    Value result = flip(select(isOdd(a.quadrant), a.cosine, a.sine), signFrom(a.quadrant));
    return select(equal(x, f(0.0f)), x, result);
  }
  Value cos(Value x) {
    Angle a = angle(x);
    return flip(select(isOdd(a.quadrant), a.sine, a.cosine), signFrom(addi(a.quadrant, i(1))));
  }
  Value tan(Value x) {
    Angle a = angle(x);
    Value odd = isOdd(a.quadrant);
    Value over = select(odd, mul(a.cosine, f(-1.0f)), a.sine), under = select(odd, a.sine, a.cosine);
    return select(equal(x, f(0.0f)), x, div(over, under));
  }
};

bool isFloat(Type type) { return getElementTypeOrSelf(type).isF32(); }

/// A pattern that knows what the CPU can do.
template <typename OpT> struct FormulaPattern : OpRewritePattern<OpT> {
  FormulaPattern(MLIRContext *context, CpuFeatures features) : OpRewritePattern<OpT>(context), features(features) {}
  CpuFeatures features;
};

template <typename OpT, Value (Formula::*expansion)(Value)> struct Expand : FormulaPattern<OpT> {
  using FormulaPattern<OpT>::FormulaPattern;
  LogicalResult matchAndRewrite(OpT op, PatternRewriter &rewriter) const override {
    if (!isFloat(op.getType()))
      return rewriter.notifyMatchFailure(op, "not float32");
    Formula formula(rewriter, op, this->features);
    rewriter.replaceOp(op, (formula.*expansion)(op.getOperand()));
    return success();
  }
};

constexpr StringLiteral kLibrary = "tw.library";

/// Trigonometric functions: the quick form where all arguments are near enough, the C library's otherwise.
template <typename OpT, Value (Formula::*expansion)(Value)> struct ExpandPeriodic : FormulaPattern<OpT> {
  using FormulaPattern<OpT>::FormulaPattern;
  LogicalResult matchAndRewrite(OpT op, PatternRewriter &rewriter) const override {
    if (!isFloat(op.getType()))
      return rewriter.notifyMatchFailure(op, "not float32");
    if (op->hasAttr(kLibrary))
      return rewriter.notifyMatchFailure(op, "the C library's half of an expansion");
    Formula formula(rewriter, op, this->features);
    Value x = op.getOperand();
    Value far = formula.less(formula.f(1.0e5f), formula.abs(x));
    if (auto vector = dyn_cast<VectorType>(far.getType())) {
      if (vector.getRank() != 1) {
        auto flat = VectorType::get({vector.getNumElements()}, rewriter.getI1Type());
        far = vector.getNumElements() == 1 && vector.getRank() == 0
                  ? vector::BroadcastOp::create(rewriter, op.getLoc(), flat, far).getResult()
                  : vector::ShapeCastOp::create(rewriter, op.getLoc(), flat, far).getResult();
      }
      far = vector::ReductionOp::create(rewriter, op.getLoc(), vector::CombiningKind::OR, far);
    }
    auto branch = scf::IfOp::create(rewriter, op.getLoc(), op.getType(), far, /*withElseRegion=*/true);
    rewriter.setInsertionPointToStart(&branch.getThenRegion().front());
    Operation *library = rewriter.clone(*op);
    library->setAttr(kLibrary, rewriter.getUnitAttr());
    scf::YieldOp::create(rewriter, op.getLoc(), library->getResults());
    rewriter.setInsertionPointToStart(&branch.getElseRegion().front());
    scf::YieldOp::create(rewriter, op.getLoc(), (formula.*expansion)(x));
    rewriter.replaceOp(op, branch);
    return success();
  }
};

struct ExpandLog2 : FormulaPattern<math::Log2Op> {
  using FormulaPattern::FormulaPattern;
  LogicalResult matchAndRewrite(math::Log2Op op, PatternRewriter &rewriter) const override {
    if (!isFloat(op.getType()))
      return rewriter.notifyMatchFailure(op, "not float32");
    Formula formula(rewriter, op, this->features);
    rewriter.replaceOp(op, formula.logBase(op.getOperand(), 1.0f, 0.0f, 0x1.715476p+0f, 0x1.4ae0cp-26f));
    return success();
  }
};

struct ExpandLog10 : FormulaPattern<math::Log10Op> {
  using FormulaPattern::FormulaPattern;
  LogicalResult matchAndRewrite(math::Log10Op op, PatternRewriter &rewriter) const override {
    if (!isFloat(op.getType()))
      return rewriter.notifyMatchFailure(op, "not float32");
    Formula formula(rewriter, op, this->features);
    rewriter.replaceOp(
        op, formula.logBase(op.getOperand(), 0x1.344p-2f, 0x1.3509f8p-18f, 0x1.bcb7b2p-2f, -0x1.5b235ep-27f));
    return success();
  }
};

} // namespace

void tilewright::populateFloatFunctionPatterns(RewritePatternSet &patterns, CpuFeatures features) {
  patterns.add<
      Expand<math::ExpOp, &Formula::exp>, Expand<math::Exp2Op, &Formula::exp2>, Expand<math::ExpM1Op, &Formula::expm1>,
      Expand<math::LogOp, &Formula::ln>, Expand<math::Log1pOp, &Formula::log1p>, Expand<math::TanhOp, &Formula::tanh>,
      Expand<math::ErfOp, &Formula::erf>, Expand<math::SinhOp, &Formula::sinh>, Expand<math::CoshOp, &Formula::cosh>,
      ExpandPeriodic<math::SinOp, &Formula::sin>, ExpandPeriodic<math::CosOp, &Formula::cos>,
      ExpandPeriodic<math::TanOp, &Formula::tan>, ExpandLog2, ExpandLog10>(patterns.getContext(), features);
}
