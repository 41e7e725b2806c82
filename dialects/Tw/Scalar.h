//===- Scalar.h - Scalar arithmetic with Tilewright's numeric rules -*- C++ -*-===//
//
// The body of a structured op is written with this builder. Values are signless; whether an integer is unsigned comes
// from the op's own types. Floating-point operations carry `contract`; what combines partial results of a reduction
// carries `reassoc` too, and nothing else is ever relaxed.
//
//===----------------------------------------------------------------------===//
#ifndef TW_SCALAR_H
#define TW_SCALAR_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Builders.h"

namespace tilewright::tw {

class ScalarBuilder {
public:
  /// `type` is the element type that decides about signedness; `combining` marks the combiner of a reduction.
  ScalarBuilder(mlir::OpBuilder &builder, mlir::Location loc, mlir::Type type, bool combining = false)
      : builder(builder), loc(loc), type(type), combining(combining) {}

  bool isFloat() const { return mlir::isa<mlir::FloatType>(type); }
  bool isUnsigned() const { return type.isUnsignedInteger() || type.isInteger(1); }

  /// Creates `Op` with the fast-math flags that the numeric rules allow.
  template <typename Op, typename... Args> mlir::Value make(Args &&...args) {
    Op op = Op::create(builder, loc, std::forward<Args>(args)...);
    allow(op);
    return op->getResult(0);
  }

  /// A constant of the type of `like`.
  mlir::Value constant(mlir::Value like, double value);
  mlir::Value integer(mlir::Type type, int64_t value);

  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value sub(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, mlir::Value b);
  mlir::Value div(mlir::Value a, mlir::Value b);
  mlir::Value neg(mlir::Value a);
  mlir::Value abs(mlir::Value a);
  mlir::Value sign(mlir::Value a);
  /// NaN-propagating on floats.
  mlir::Value max(mlir::Value a, mlir::Value b);
  mlir::Value min(mlir::Value a, mlir::Value b);
  /// Rounds to minus infinity; integers: 0 where `b` is 0, wraps for the one quotient that overflows.
  mlir::Value floorDiv(mlir::Value a, mlir::Value b);
  /// The remainder of `floorDiv`: it has the sign of `b`; integers: 0 where `b` is 0.
  mlir::Value remainder(mlir::Value a, mlir::Value b);
  mlir::Value pow(mlir::Value a, mlir::Value b);
  mlir::Value hypot(mlir::Value a, mlir::Value b);
  /// Shifts by the width or more give 0, or the sign for a signed shift to the right.
  mlir::Value shiftLeft(mlir::Value a, mlir::Value b);
  mlir::Value shiftRight(mlir::Value a, mlir::Value b);
  /// `predicate` is one of eq ne lt le gt ge; only `ne` holds for NaN.
  mlir::Value compare(llvm::StringRef predicate, mlir::Value a, mlir::Value b);
  mlir::Value select(mlir::Value condition, mlir::Value a, mlir::Value b);
  mlir::Value logicalNot(mlir::Value a);
  mlir::Value bitwiseNot(mlir::Value a);
  mlir::Value isNan(mlir::Value a);
  mlir::Value isInf(mlir::Value a);
  mlir::Value isFinite(mlir::Value a);
  mlir::Value sigmoid(mlir::Value a);
  mlir::Value silu(mlir::Value a);
  /// `approximate` is "none" (erf) or "tanh".
  mlir::Value gelu(mlir::Value a, llvm::StringRef approximate);
  /// Converts from `from` (this builder's type) to `to`, both as the op states them. Floats that do not fit an integer
  /// are clamped, NaN becomes 0.
  mlir::Value cast(mlir::Value a, mlir::Type to);

  mlir::OpBuilder &builder;
  mlir::Location loc;
  mlir::Type type;

private:
  void allow(mlir::Operation *op);
  bool combining;
};

namespace common {
using UnaryBody = llvm::function_ref<mlir::Value(ScalarBuilder &, mlir::Value)>;
using BinaryBody = llvm::function_ref<mlir::Value(ScalarBuilder &, mlir::Value, mlir::Value)>;
/// Runs a body on elements of `type`. Half-precision floats are computed in f32, so that a formula of several steps
/// rounds once.
llvm::SmallVector<mlir::Value> elementwiseBody(mlir::OpBuilder &builder, mlir::Location loc, mlir::Type type,
                                               mlir::ValueRange scalars, UnaryBody body);
llvm::SmallVector<mlir::Value> elementwiseBody(mlir::OpBuilder &builder, mlir::Location loc, mlir::Type type,
                                               mlir::ValueRange scalars, BinaryBody body);
/// f32 for floats of 8 and 16 bits, else the type itself (signless).
mlir::Type accumulatorType(mlir::Type type);
} // namespace common
} // namespace tilewright::tw

#endif // TW_SCALAR_H
