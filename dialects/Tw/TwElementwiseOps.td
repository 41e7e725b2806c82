//===- TwElementwiseOps.td - One point from one point -----------*- tablegen -*-===//
//
// Adding an operation here is one definition with a one-line body; no conversion changes.
//
//===----------------------------------------------------------------------===//
#ifndef TW_ELEMENTWISE_OPS_TD
#define TW_ELEMENTWISE_OPS_TD

include "Tw/TwOpBase.td"

/// `body` returns the scalar result; `s` is a ScalarBuilder, `x` and `y` are the scalars.
class Tw_ElementwiseOp<string mnemonic, string parameters, code body, list<Trait> traits>
    : Tw_StructuredOp<mnemonic, [], traits> {
  let extraClassDefinition = shapes # [{
    ::llvm::SmallVector<::mlir::Value> $cppClass::buildLoopBody(
        ::mlir::OpBuilder &builder, ::mlir::Location loc, ::mlir::ValueRange scalars, ::mlir::ValueRange operands) {
      auto body = [&](ScalarBuilder &s, }] # parameters # [{) -> ::mlir::Value {
        }] # body # [{
      };
      ::mlir::Type type = ::mlir::getElementTypeOrSelf(getOperation()->getOperand(0).getType());
      return common::elementwiseBody(builder, loc, type, scalars, body);
    }
  }];
}

class Tw_UnaryOp<string mnemonic, string title, Type tensor, code body, string more = "">
    : Tw_ElementwiseOp<mnemonic, "::mlir::Value x", body, [AllTypesMatch<["input", "result"]>]> {
  let summary = title;
  let description = title # [{, element by element. }] # more # [{

    (c1) `result` has the type of `input`.

    Example:
    ```mlir
    %r = tw.}] # mnemonic # [{ %x : tensor<?x4x}] # !if(!eq(tensor, Tw_BoolTensor), "i1", !if(!eq(tensor, Tw_IntTensor), "i32", "f32")) # [{>
    ```
  }];
  let arguments = (ins tensor:$input);
  let results = (outs tensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
}

class Tw_UnaryFloatOp<string mnemonic, string title, code body, string more = "">
    : Tw_UnaryOp<mnemonic, title, Tw_FloatTensor, body, more>;

class Tw_TestOp<string mnemonic, string title, code body>
    : Tw_ElementwiseOp<mnemonic, "::mlir::Value x", body, [
        TypesMatchWith<"(c1) result is boolean and has the shape of input", "input", "result",
                       "::llvm::cast<::mlir::RankedTensorType>($_self).clone("
                       "::mlir::IntegerType::get($_self.getContext(), 1))">]> {
  let summary = title;
  let description = title # [{, element by element.

    (c1) `result` is boolean and has the shape of `input`.

    Example:
    ```mlir
    %r = tw.}] # mnemonic # [{ %x : tensor<?x4xf32>
    ```
  }];
  let arguments = (ins Tw_FloatTensor:$input);
  let results = (outs Tw_BoolTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
}

class Tw_BinaryOp<string mnemonic, string title, Type tensor, code body, string more = "", list<Trait> traits = []>
    : Tw_ElementwiseOp<mnemonic, "::mlir::Value x, ::mlir::Value y", body,
                       [AllTypesMatch<["lhs", "rhs", "result"]>] # traits> {
  let summary = title;
  let description = title # [{, element by element. }] # more # [{

    (c1) `lhs`, `rhs` and `result` have the same type: broadcasting is explicit.

    Example:
    ```mlir
    %r = tw.}] # mnemonic # [{ %a, %b : tensor<?x4x}] # !if(!eq(tensor, Tw_BoolTensor), "i1", !if(!eq(tensor, Tw_IntTensor), "i32", !if(!eq(tensor, Tw_IntOrBoolTensor), "i32", "f32"))) # [{>
    ```
  }];
  let arguments = (ins tensor:$lhs, tensor:$rhs);
  let results = (outs tensor:$result);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` type($lhs)";
}

//===----------------------------------------------------------------------===//
// Unary, floating point
//===----------------------------------------------------------------------===//
def Tw_ExpOp : Tw_UnaryFloatOp<"exp", "Exponential", [{ return s.make<::mlir::math::ExpOp>(x); }]>;
def Tw_Exp2Op : Tw_UnaryFloatOp<"exp2", "Power of two", [{ return s.make<::mlir::math::Exp2Op>(x); }]>;
def Tw_Expm1Op : Tw_UnaryFloatOp<"expm1", "Exponential minus one", [{ return s.make<::mlir::math::ExpM1Op>(x); }],
  "Accurate near 0.">;
def Tw_LogOp : Tw_UnaryFloatOp<"log", "Natural logarithm", [{ return s.make<::mlir::math::LogOp>(x); }]>;
def Tw_Log2Op : Tw_UnaryFloatOp<"log2", "Logarithm to base 2", [{ return s.make<::mlir::math::Log2Op>(x); }]>;
def Tw_Log10Op : Tw_UnaryFloatOp<"log10", "Logarithm to base 10", [{ return s.make<::mlir::math::Log10Op>(x); }]>;
def Tw_Log1pOp : Tw_UnaryFloatOp<"log1p", "Logarithm of one plus x", [{ return s.make<::mlir::math::Log1pOp>(x); }],
  "Accurate near 0.">;
def Tw_SqrtOp : Tw_UnaryFloatOp<"sqrt", "Square root", [{ return s.make<::mlir::math::SqrtOp>(x); }]>;
def Tw_RsqrtOp : Tw_UnaryFloatOp<"rsqrt", "Reciprocal square root",
  [{ return s.div(s.constant(x, 1), s.make<::mlir::math::SqrtOp>(x)); }]>;
def Tw_CbrtOp : Tw_UnaryFloatOp<"cbrt", "Cube root", [{ return s.make<::mlir::math::CbrtOp>(x); }]>;
def Tw_SinOp : Tw_UnaryFloatOp<"sin", "Sine", [{ return s.make<::mlir::math::SinOp>(x); }]>;
def Tw_CosOp : Tw_UnaryFloatOp<"cos", "Cosine", [{ return s.make<::mlir::math::CosOp>(x); }]>;
def Tw_TanOp : Tw_UnaryFloatOp<"tan", "Tangent", [{ return s.make<::mlir::math::TanOp>(x); }]>;
def Tw_AsinOp : Tw_UnaryFloatOp<"asin", "Inverse sine", [{ return s.make<::mlir::math::AsinOp>(x); }]>;
def Tw_AcosOp : Tw_UnaryFloatOp<"acos", "Inverse cosine", [{ return s.make<::mlir::math::AcosOp>(x); }]>;
def Tw_AtanOp : Tw_UnaryFloatOp<"atan", "Inverse tangent", [{ return s.make<::mlir::math::AtanOp>(x); }]>;
def Tw_SinhOp : Tw_UnaryFloatOp<"sinh", "Hyperbolic sine", [{ return s.make<::mlir::math::SinhOp>(x); }]>;
def Tw_CoshOp : Tw_UnaryFloatOp<"cosh", "Hyperbolic cosine", [{ return s.make<::mlir::math::CoshOp>(x); }]>;
def Tw_TanhOp : Tw_UnaryFloatOp<"tanh", "Hyperbolic tangent", [{ return s.make<::mlir::math::TanhOp>(x); }]>;
def Tw_AsinhOp : Tw_UnaryFloatOp<"asinh", "Inverse hyperbolic sine", [{ return s.make<::mlir::math::AsinhOp>(x); }]>;
def Tw_AcoshOp : Tw_UnaryFloatOp<"acosh", "Inverse hyperbolic cosine", [{ return s.make<::mlir::math::AcoshOp>(x); }]>;
def Tw_AtanhOp : Tw_UnaryFloatOp<"atanh", "Inverse hyperbolic tangent", [{ return s.make<::mlir::math::AtanhOp>(x); }]>;
def Tw_ErfOp : Tw_UnaryFloatOp<"erf", "Error function", [{ return s.make<::mlir::math::ErfOp>(x); }]>;
def Tw_FloorOp : Tw_UnaryFloatOp<"floor", "Round to minus infinity", [{ return s.make<::mlir::math::FloorOp>(x); }]>;
def Tw_CeilOp : Tw_UnaryFloatOp<"ceil", "Round to plus infinity", [{ return s.make<::mlir::math::CeilOp>(x); }]>;
def Tw_TruncOp : Tw_UnaryFloatOp<"trunc", "Round to zero", [{ return s.make<::mlir::math::TruncOp>(x); }]>;
def Tw_RoundOp : Tw_UnaryFloatOp<"round", "Round half to even", [{ return s.make<::mlir::math::RoundEvenOp>(x); }]>;
def Tw_SigmoidOp : Tw_UnaryFloatOp<"sigmoid", "Logistic function", [{ return s.sigmoid(x); }], "1 / (1 + exp(-x)).">;
def Tw_SiluOp : Tw_UnaryFloatOp<"silu", "Sigmoid-weighted identity", [{ return s.silu(x); }], "x * sigmoid(x).">;
def Tw_ReciprocalOp : Tw_UnaryFloatOp<"reciprocal", "Reciprocal", [{ return s.div(s.constant(x, 1), x); }]>;

def Tw_GeluOp : Tw_UnaryFloatOp<"gelu", "Gaussian error linear unit", [{ return s.gelu(x, getApproximate()); }]> {
  let description = [{
    x * Phi(x), where Phi is the normal distribution function: exactly through `erf`, or by the usual `tanh` formula.

    (c1) `result` has the type of `input`.
    (c2) `approximate` is "none" or "tanh".

    Example:
    ```mlir
    %r = tw.gelu %x {approximate = "tanh"} : tensor<?x4xf32>
    ```
  }];
  let arguments = (ins Tw_FloatTensor:$input, DefaultValuedStrAttr<StrAttr, "none">:$approximate);
  let hasVerifier = 1;
}

def Tw_IsNanOp : Tw_TestOp<"is_nan", "Is not a number", [{ return s.isNan(x); }]>;
def Tw_IsInfOp : Tw_TestOp<"is_inf", "Is plus or minus infinity", [{ return s.isInf(x); }]>;
def Tw_IsFiniteOp : Tw_TestOp<"is_finite", "Is neither infinite nor NaN", [{ return s.isFinite(x); }]>;

//===----------------------------------------------------------------------===//
// Unary, other
//===----------------------------------------------------------------------===//
def Tw_NegOp : Tw_UnaryOp<"neg", "Negation", Tw_NumTensor, [{ return s.neg(x); }], "Integers wrap.">;
def Tw_AbsOp : Tw_UnaryOp<"abs", "Absolute value", Tw_NumTensor, [{ return s.abs(x); }]>;
def Tw_SignOp : Tw_UnaryOp<"sign", "Sign", Tw_NumTensor, [{ return s.sign(x); }], "-1, 0 or 1; NaN stays NaN.">;
def Tw_SquareOp : Tw_UnaryOp<"square", "Square", Tw_NumTensor, [{ return s.mul(x, x); }]>;
def Tw_LogicalNotOp : Tw_UnaryOp<"logical_not", "Logical negation", Tw_BoolTensor, [{ return s.logicalNot(x); }]> {
  let hasFolder = 1;
}
def Tw_BitwiseNotOp : Tw_UnaryOp<"bitwise_not", "Bitwise complement", Tw_IntTensor, [{ return s.bitwiseNot(x); }]>;

//===----------------------------------------------------------------------===//
// Binary
//===----------------------------------------------------------------------===//
def Tw_AddOp : Tw_BinaryOp<"add", "Sum", Tw_NumTensor, [{ return s.add(x, y); }], "Integers wrap.", [Commutative]> {
  let hasFolder = 1;
}
def Tw_SubOp : Tw_BinaryOp<"sub", "Difference", Tw_NumTensor, [{ return s.sub(x, y); }], "Integers wrap."> {
  let hasFolder = 1;
}
def Tw_MulOp : Tw_BinaryOp<"mul", "Product", Tw_NumTensor, [{ return s.mul(x, y); }], "Integers wrap.", [Commutative]> {
  let hasFolder = 1;
}
def Tw_DivOp : Tw_BinaryOp<"div", "Quotient", Tw_FloatTensor, [{ return s.div(x, y); }]> {
  let hasFolder = 1;
}
def Tw_FloorDivOp : Tw_BinaryOp<"floor_div", "Quotient rounded to minus infinity", Tw_NumTensor,
  [{ return s.floorDiv(x, y); }], "An integer divided by 0 gives 0.">;
def Tw_RemainderOp : Tw_BinaryOp<"remainder", "Remainder of floor_div", Tw_NumTensor,
  [{ return s.remainder(x, y); }], "It has the sign of `rhs`; an integer divided by 0 leaves 0.">;
def Tw_PowOp : Tw_BinaryOp<"pow", "Power", Tw_NumTensor, [{ return s.pow(x, y); }],
  "Integers wrap; negative integer exponents round to zero.">;
def Tw_MaxOp : Tw_BinaryOp<"max", "Larger value", Tw_NumTensor, [{ return s.max(x, y); }], "NaN wins.", [Commutative]>;
def Tw_MinOp : Tw_BinaryOp<"min", "Smaller value", Tw_NumTensor, [{ return s.min(x, y); }], "NaN wins.", [Commutative]>;
def Tw_Atan2Op : Tw_BinaryOp<"atan2", "Angle of a point", Tw_FloatTensor,
  [{ return s.make<::mlir::math::Atan2Op>(x, y); }], "The angle of the point (rhs, lhs).">;
def Tw_HypotOp : Tw_BinaryOp<"hypot", "Length of a vector", Tw_FloatTensor, [{ return s.hypot(x, y); }],
  "Neither overflows nor vanishes where the result does not.">;
def Tw_CopysignOp : Tw_BinaryOp<"copysign", "Magnitude of lhs, sign of rhs", Tw_FloatTensor,
  [{ return s.make<::mlir::math::CopySignOp>(x, y); }]>;
def Tw_ShiftLeftOp : Tw_BinaryOp<"shift_left", "Shift to the left", Tw_IntTensor, [{ return s.shiftLeft(x, y); }],
  "Shifts by the width or more give 0.">;
def Tw_ShiftRightOp : Tw_BinaryOp<"shift_right", "Shift to the right", Tw_IntTensor, [{ return s.shiftRight(x, y); }],
  "Arithmetic for signed, logical for unsigned integers; shifts by the width or more give 0 or -1.">;
def Tw_BitwiseAndOp : Tw_BinaryOp<"bitwise_and", "Bitwise and", Tw_IntOrBoolTensor,
  [{ return s.make<::mlir::arith::AndIOp>(x, y); }], "", [Commutative]>;
def Tw_BitwiseOrOp : Tw_BinaryOp<"bitwise_or", "Bitwise or", Tw_IntOrBoolTensor,
  [{ return s.make<::mlir::arith::OrIOp>(x, y); }], "", [Commutative]>;
def Tw_BitwiseXorOp : Tw_BinaryOp<"bitwise_xor", "Bitwise exclusive or", Tw_IntOrBoolTensor,
  [{ return s.make<::mlir::arith::XOrIOp>(x, y); }], "", [Commutative]>;
def Tw_LogicalAndOp : Tw_BinaryOp<"logical_and", "Logical and", Tw_BoolTensor,
  [{ return s.make<::mlir::arith::AndIOp>(x, y); }], "", [Commutative]>;
def Tw_LogicalOrOp : Tw_BinaryOp<"logical_or", "Logical or", Tw_BoolTensor,
  [{ return s.make<::mlir::arith::OrIOp>(x, y); }], "", [Commutative]>;
def Tw_LogicalXorOp : Tw_BinaryOp<"logical_xor", "Logical exclusive or", Tw_BoolTensor,
  [{ return s.make<::mlir::arith::XOrIOp>(x, y); }], "", [Commutative]>;

//===----------------------------------------------------------------------===//
// Comparison, choice, conversion
//===----------------------------------------------------------------------===//
def Tw_CompareOp : Tw_ElementwiseOp<"compare", "::mlir::Value x, ::mlir::Value y",
    [{ return s.compare(getPredicate(), x, y); }], [
      AllTypesMatch<["lhs", "rhs"]>,
      TypesMatchWith<"(c2) result is boolean and has the shape of lhs", "lhs", "result",
                     "::llvm::cast<::mlir::RankedTensorType>($_self).clone("
                     "::mlir::IntegerType::get($_self.getContext(), 1))">]> {
  let summary = "Comparison";
  let description = [{
    Compares element by element. A comparison with NaN is false, except for `ne`.

    (c1) `lhs` and `rhs` have the same type.
    (c2) `result` is boolean and has their shape.
    (c3) `predicate` is one of "eq", "ne", "lt", "le", "gt", "ge".

    Example:
    ```mlir
    %r = tw.compare "lt", %a, %b : tensor<?x4xf32>
    ```
  }];
  let arguments = (ins Tw_ComputableTensor:$lhs, Tw_ComputableTensor:$rhs, StrAttr:$predicate);
  let results = (outs Tw_BoolTensor:$result);
  let assemblyFormat = "$predicate `,` $lhs `,` $rhs attr-dict `:` type($lhs)";
  let hasVerifier = 1;
}

def Tw_SelectOp : Tw_StructuredOp<"select", [], [
    AllTypesMatch<["on_true", "on_false", "result"]>,
    TypesMatchWith<"(c2) condition is boolean and has the shape of the result", "result", "condition",
                   "::llvm::cast<::mlir::RankedTensorType>($_self).clone("
                   "::mlir::IntegerType::get($_self.getContext(), 1))">]> {
  let summary = "Choice by a condition";
  let description = [{
    Takes `on_true` where `condition` holds and `on_false` elsewhere.

    (c1) `on_true`, `on_false` and `result` have the same type.
    (c2) `condition` is boolean and has their shape.

    Example:
    ```mlir
    %r = tw.select %c, %a, %b : tensor<?x4xf32>
    ```
  }];
  let arguments = (ins Tw_BoolTensor:$condition, Tw_Tensor:$on_true, Tw_Tensor:$on_false);
  let results = (outs Tw_Tensor:$result);
  let assemblyFormat = "$condition `,` $on_true `,` $on_false attr-dict `:` type($result)";
  let hasFolder = 1;
}

def Tw_CastOp : Tw_StructuredOp<"cast"> {
  let summary = "Conversion of the element type";
  let description = [{
    Converts each element. Integers wrap, floats round to nearest even or, to integers, to zero; what does not fit an
    integer is clamped and NaN becomes 0. Anything but 0 is true.

    (c1) `input` and `result` have the same shape.

    Example:
    ```mlir
    %r = tw.cast %x : tensor<?x4xf32> to tensor<?x4xi32>
    ```
  }];
  let arguments = (ins Tw_Tensor:$input);
  let results = (outs Tw_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `to` type($result)";
  let hasFolder = 1;
  let hasCanonicalizer = 1;
  let hasVerifier = 1;
}

#endif // TW_ELEMENTWISE_OPS_TD
