//===- Scalar.cpp - Scalar arithmetic with Tilewright's numeric rules -------===//
#include "Tw/Scalar.h"
#include "Tw/TwInterfaces.h"

#include <cmath>

using namespace mlir;

namespace tilewright::tw {

void ScalarBuilder::allow(Operation *op) {
  auto relaxable = dyn_cast<arith::ArithFastMathInterface>(op);
  if (!relaxable)
    return;
  auto flags = arith::FastMathFlags::contract;
  if (combining)
    flags = flags | arith::FastMathFlags::reassoc;
  op->setAttr(relaxable.getFastMathAttrName(), arith::FastMathFlagsAttr::get(op->getContext(), flags));
}

Value ScalarBuilder::constant(Value like, double value) {
  Type likeType = like.getType();
  TypedAttr attr = isa<FloatType>(likeType) ? TypedAttr(builder.getFloatAttr(likeType, value))
                                            : TypedAttr(builder.getIntegerAttr(likeType, (int64_t)value));
  return arith::ConstantOp::create(builder, loc, attr);
}

Value ScalarBuilder::integer(Type valueType, int64_t value) {
  return arith::ConstantOp::create(builder, loc, builder.getIntegerAttr(valueType, value));
}

Value ScalarBuilder::add(Value a, Value b) { return isFloat() ? make<arith::AddFOp>(a, b) : make<arith::AddIOp>(a, b); }
Value ScalarBuilder::sub(Value a, Value b) { return isFloat() ? make<arith::SubFOp>(a, b) : make<arith::SubIOp>(a, b); }
Value ScalarBuilder::mul(Value a, Value b) { return isFloat() ? make<arith::MulFOp>(a, b) : make<arith::MulIOp>(a, b); }
Value ScalarBuilder::div(Value a, Value b) { return make<arith::DivFOp>(a, b); }

Value ScalarBuilder::neg(Value a) { return isFloat() ? make<arith::NegFOp>(a) : sub(constant(a, 0), a); }
Value ScalarBuilder::abs(Value a) {
  if (isFloat())
    return make<math::AbsFOp>(a);
  return isUnsigned() ? a : make<math::AbsIOp>(a);
}
Value ScalarBuilder::sign(Value a) {
  Value zero = constant(a, 0), one = constant(a, 1);
  Value result = select(compare("gt", a, zero), one, zero);
  if (!isUnsigned())
    result = select(compare("lt", a, zero), constant(a, -1), result);
  return isFloat() ? select(isNan(a), a, result) : result;
}
Value ScalarBuilder::max(Value a, Value b) {
  if (isFloat())
    return make<arith::MaximumFOp>(a, b);
  return isUnsigned() ? make<arith::MaxUIOp>(a, b) : make<arith::MaxSIOp>(a, b);
}
Value ScalarBuilder::min(Value a, Value b) {
  if (isFloat())
    return make<arith::MinimumFOp>(a, b);
  return isUnsigned() ? make<arith::MinUIOp>(a, b) : make<arith::MinSIOp>(a, b);
}

Value ScalarBuilder::floorDiv(Value a, Value b) {
  Value zero = constant(a, 0), one = constant(a, 1);
  if (isFloat()) {
    // The quotient is taken from the exact remainder; rounding a / b could step over an integer.
    Value rest = make<arith::RemFOp>(a, b);
    Value quotient = div(sub(a, rest), b);
    Value opposite = make<arith::XOrIOp>(compare("lt", rest, zero), compare("lt", b, zero));
    Value below = make<arith::AndIOp>(compare("ne", rest, zero), opposite);
    quotient = select(below, sub(quotient, one), quotient);
    Value floor = make<math::FloorOp>(quotient);
    Value up = compare("gt", sub(quotient, floor), constant(a, 0.5));
    floor = select(up, add(floor, one), floor);
    Value plain = div(a, b);
    floor = select(compare("eq", quotient, zero), make<math::CopySignOp>(zero, plain), floor);
    return select(compare("eq", b, zero), plain, floor);
  }
  Value byZero = compare("eq", b, zero);
  if (isUnsigned())
    return select(byZero, zero, make<arith::DivUIOp>(a, select(byZero, one, b)));
  // -1 is kept from the division: the smallest integer divided by it would trap.
  Value byMinusOne = compare("eq", b, constant(a, -1));
  Value divisor = select(make<arith::OrIOp>(byZero, byMinusOne), one, b);
  Value quotient = make<arith::DivSIOp>(a, divisor);
  Value rest = sub(a, mul(quotient, divisor));
  Value opposite = compare("lt", make<arith::XOrIOp>(rest, divisor), zero);
  Value inexact = make<arith::AndIOp>(compare("ne", rest, zero), opposite);
  quotient = select(inexact, sub(quotient, one), quotient);
  return select(byZero, zero, select(byMinusOne, sub(zero, a), quotient));
}

Value ScalarBuilder::remainder(Value a, Value b) {
  Value zero = constant(a, 0);
  if (isFloat()) {
    Value rest = make<arith::RemFOp>(a, b);
    Value isZero = compare("eq", rest, zero);
    Value opposite = make<arith::XOrIOp>(compare("lt", rest, zero), compare("lt", b, zero));
    Value moved = select(opposite, add(rest, b), rest);
    return select(isZero, make<math::CopySignOp>(zero, b), moved);
  }
  Value byZero = compare("eq", b, zero);
  Value one = constant(a, 1);
  if (isUnsigned())
    return select(byZero, zero, make<arith::RemUIOp>(a, select(byZero, one, b)));
  Value trivial = make<arith::OrIOp>(byZero, compare("eq", b, constant(a, -1)));
  Value divisor = select(trivial, one, b);
  Value rest = make<arith::RemSIOp>(a, divisor);
  Value opposite = compare("lt", make<arith::XOrIOp>(rest, divisor), zero);
  Value inexact = make<arith::AndIOp>(compare("ne", rest, zero), opposite);
  return select(inexact, add(rest, divisor), rest);
}

Value ScalarBuilder::pow(Value a, Value b) {
  if (isFloat())
    return make<math::PowFOp>(a, b);
  // Square and multiply over the bits of the exponent: wraps as repeated multiplication does.
  Value one = constant(a, 1), zero = constant(a, 0);
  Value result = one, base = a, exponent = b;
  unsigned width = llvm::cast<IntegerType>(a.getType()).getWidth();
  for (unsigned bit = 0; bit < width; ++bit) {
    Value isSet = compare("ne", make<arith::AndIOp>(exponent, one), zero);
    result = select(isSet, mul(result, base), result);
    if (bit + 1 == width)
      break;
    base = mul(base, base);
    exponent = make<arith::ShRUIOp>(exponent, one);
  }
  if (isUnsigned())
    return result;
  // Negative exponents: 1/a rounded to zero, which only 1 and -1 survive.
  Value isOne = compare("eq", a, one), isMinusOne = compare("eq", a, constant(a, -1));
  Value isOdd = compare("ne", make<arith::AndIOp>(b, one), zero);
  Value inverse = select(isMinusOne, select(isOdd, a, one), select(isOne, one, zero));
  return select(compare("lt", b, zero), inverse, result);
}

Value ScalarBuilder::hypot(Value a, Value b) {
  // Scaled by the larger one, so that squares neither overflow nor vanish.
  Value x = make<math::AbsFOp>(a), y = make<math::AbsFOp>(b);
  Value large = make<arith::MaximumFOp>(x, y), small = make<arith::MinimumFOp>(x, y);
  Value zero = constant(a, 0), one = constant(a, 1), inf = constant(a, INFINITY);
  Value ratio = div(small, large);
  Value result = mul(large, make<math::SqrtOp>(add(mul(ratio, ratio), one)));
  result = select(compare("eq", large, zero), zero, result);
  Value isInfinite = make<arith::OrIOp>(compare("eq", x, inf), compare("eq", y, inf));
  return select(isInfinite, inf, result);
}

Value ScalarBuilder::shiftLeft(Value a, Value b) {
  Value width = constant(a, llvm::cast<IntegerType>(a.getType()).getWidth());
  Value inside = make<arith::CmpIOp>(arith::CmpIPredicate::ult, b, width);
  Value zero = constant(a, 0);
  return select(inside, make<arith::ShLIOp>(a, select(inside, b, zero)), zero);
}

Value ScalarBuilder::shiftRight(Value a, Value b) {
  unsigned bits = llvm::cast<IntegerType>(a.getType()).getWidth();
  Value inside = make<arith::CmpIOp>(arith::CmpIPredicate::ult, b, constant(a, bits));
  Value zero = constant(a, 0);
  if (isUnsigned())
    return select(inside, make<arith::ShRUIOp>(a, select(inside, b, zero)), zero);
  return make<arith::ShRSIOp>(a, select(inside, b, constant(a, bits - 1)));
}

Value ScalarBuilder::compare(StringRef predicate, Value a, Value b) {
  if (isa<FloatType>(a.getType())) {
    auto kind = llvm::StringSwitch<arith::CmpFPredicate>(predicate)
                    .Case("eq", arith::CmpFPredicate::OEQ)
                    .Case("ne", arith::CmpFPredicate::UNE)
                    .Case("lt", arith::CmpFPredicate::OLT)
                    .Case("le", arith::CmpFPredicate::OLE)
                    .Case("gt", arith::CmpFPredicate::OGT)
                    .Default(arith::CmpFPredicate::OGE);
    return make<arith::CmpFOp>(kind, a, b);
  }
  bool positive = isUnsigned();
  using P = arith::CmpIPredicate;
  auto kind = llvm::StringSwitch<P>(predicate)
                  .Case("eq", P::eq)
                  .Case("ne", P::ne)
                  .Case("lt", positive ? P::ult : P::slt)
                  .Case("le", positive ? P::ule : P::sle)
                  .Case("gt", positive ? P::ugt : P::sgt)
                  .Default(positive ? P::uge : P::sge);
  return make<arith::CmpIOp>(kind, a, b);
}

Value ScalarBuilder::select(Value condition, Value a, Value b) {
  return arith::SelectOp::create(builder, loc, condition, a, b);
}

Value ScalarBuilder::logicalNot(Value a) { return make<arith::XOrIOp>(a, constant(a, 1)); }
Value ScalarBuilder::bitwiseNot(Value a) { return make<arith::XOrIOp>(a, constant(a, -1)); }
Value ScalarBuilder::isNan(Value a) { return make<arith::CmpFOp>(arith::CmpFPredicate::UNO, a, a); }
Value ScalarBuilder::isInf(Value a) { return compare("eq", make<math::AbsFOp>(a), constant(a, INFINITY)); }
Value ScalarBuilder::isFinite(Value a) {
  return make<arith::CmpFOp>(arith::CmpFPredicate::OLT, make<math::AbsFOp>(a), constant(a, INFINITY));
}

Value ScalarBuilder::sigmoid(Value a) {
  Value one = constant(a, 1);
  return div(one, add(one, make<math::ExpOp>(neg(a))));
}
Value ScalarBuilder::silu(Value a) { return div(a, add(constant(a, 1), make<math::ExpOp>(neg(a)))); }
Value ScalarBuilder::gelu(Value a, StringRef approximate) {
  Value inner;
  if (approximate == "tanh") {
    Value cube = mul(mul(a, a), a);
    Value argument = mul(constant(a, 0.7978845608028654), add(a, mul(constant(a, 0.044715), cube)));
    inner = make<math::TanhOp>(argument);
  } else {
    inner = make<math::ErfOp>(mul(a, constant(a, 0.7071067811865476)));
  }
  return mul(mul(constant(a, 0.5), a), add(constant(a, 1), inner));
}

/// A float as an integer of type `to`: saturating, NaN becomes 0.
static Value floatToInteger(ScalarBuilder &s, Value a, Type to) {
  auto from = llvm::cast<FloatType>(s.type);
  Type target = common::signless(to);
  bool toUnsigned = to.isUnsignedInteger();
  unsigned width = to.getIntOrFloatBitWidth(), magnitude = toUnsigned ? width : width - 1;
  // The integers end at 2^magnitude; f16 ends before that for wide ones, and only its infinities lie beyond.
  double largest = llvm::APFloat::getLargest(from.getFloatSemantics()).convertToDouble();
  double top = std::ldexp(1.0, magnitude), bottom = toUnsigned ? 0.0 : -top;
  double above = top > largest ? INFINITY : top, below = -bottom > largest ? -INFINITY : bottom;
  // Out of range, the conversion itself has no defined value: it never sees such a number.
  Value isAbove = s.compare("ge", a, s.constant(a, above)), isBelow = s.compare("le", a, s.constant(a, below));
  Value isOutside = s.make<arith::OrIOp>(s.make<arith::OrIOp>(isAbove, isBelow), s.isNan(a));
  Value number = s.select(isOutside, s.constant(a, 0), a);
  Value inside = toUnsigned ? s.make<arith::FPToUIOp>(target, number) : s.make<arith::FPToSIOp>(target, number);
  APInt high = toUnsigned ? APInt::getMaxValue(width) : APInt::getSignedMaxValue(width);
  Value highest = arith::ConstantOp::create(s.builder, s.loc, s.builder.getIntegerAttr(target, high));
  inside = s.select(isAbove, highest, inside);
  if (toUnsigned)
    return inside;
  Value lowest =
      arith::ConstantOp::create(s.builder, s.loc, s.builder.getIntegerAttr(target, APInt::getSignedMinValue(width)));
  return s.select(isBelow, lowest, inside);
}

static bool isFloat8(Type type) { return isa<Float8E4M3FNType, Float8E5M2Type>(type); }

Value ScalarBuilder::cast(Value a, Type to) {
  Type from = type, target = common::signless(to);
  if (from == to)
    return a;
  // 8-bit floats are bytes until they are converted, from any float in one step.
  auto f32 = builder.getF32Type();
  if (isFloat8(from)) {
    Value number = make<arith::BitcastOp>(from, a);
    bool isWider = isa<FloatType>(to) && !isFloat8(to);
    number = make<arith::ExtFOp>(isWider ? to : f32, number);
    return isWider ? number : ScalarBuilder(builder, loc, f32).cast(number, to);
  }
  if (isFloat8(to)) {
    Value number = isa<FloatType>(from) ? a : cast(a, f32);
    return make<arith::BitcastOp>(target, make<arith::TruncFOp>(to, number));
  }
  if (auto fromFloat = dyn_cast<FloatType>(from)) {
    if (auto toFloat = dyn_cast<FloatType>(to)) {
      if (fromFloat.getWidth() == 16 && toFloat.getWidth() == 16)
        return make<arith::TruncFOp>(to, make<arith::ExtFOp>(builder.getF32Type(), a));
      return fromFloat.getWidth() < toFloat.getWidth() ? make<arith::ExtFOp>(to, a) : make<arith::TruncFOp>(to, a);
    }
    if (to.isInteger(1))
      return compare("ne", a, constant(a, 0));
    return floatToInteger(*this, a, to);
  }
  if (isa<FloatType>(to))
    return isUnsigned() ? make<arith::UIToFPOp>(to, a) : make<arith::SIToFPOp>(to, a);
  if (to.isInteger(1))
    return compare("ne", a, constant(a, 0));
  unsigned fromWidth = from.getIntOrFloatBitWidth(), toWidth = to.getIntOrFloatBitWidth();
  if (fromWidth == toWidth)
    return a;
  if (fromWidth > toWidth)
    return make<arith::TruncIOp>(target, a);
  return isUnsigned() ? make<arith::ExtUIOp>(target, a) : make<arith::ExtSIOp>(target, a);
}

namespace common {
Type accumulatorType(Type type) {
  return type.isF16() || type.isBF16() || isFloat8(type) ? Float32Type::get(type.getContext()) : signless(type);
}

static SmallVector<Value> inAccumulator(OpBuilder &builder, Location loc, Type type, ValueRange scalars,
                                        llvm::function_ref<Value(ScalarBuilder &, ArrayRef<Value>)> body) {
  Type wide = accumulatorType(type);
  SmallVector<Value> values(scalars.begin(), scalars.end());
  if (!isa<FloatType>(type) || wide == type) {
    ScalarBuilder scalar(builder, loc, type);
    return {body(scalar, values)};
  }
  ScalarBuilder narrow(builder, loc, type), scalar(builder, loc, wide);
  for (Value &value : values)
    if (value.getType() == type)
      value = narrow.cast(value, wide);
  Value result = body(scalar, values);
  return {result.getType() == wide ? scalar.cast(result, type) : result};
}

SmallVector<Value> elementwiseBody(OpBuilder &builder, Location loc, Type type, ValueRange scalars, UnaryBody body) {
  return inAccumulator(builder, loc, type, scalars,
                       [&](ScalarBuilder &s, ArrayRef<Value> values) { return body(s, values[0]); });
}
SmallVector<Value> elementwiseBody(OpBuilder &builder, Location loc, Type type, ValueRange scalars, BinaryBody body) {
  return inAccumulator(builder, loc, type, scalars,
                       [&](ScalarBuilder &s, ArrayRef<Value> values) { return body(s, values[0], values[1]); });
}
} // namespace common
} // namespace tilewright::tw
