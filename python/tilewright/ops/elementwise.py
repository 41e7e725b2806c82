"""Functions of one element, or of elements at the same place: arithmetic, comparisons, logic, activations.

Operands are promoted by the array API's rules (Python numbers are weak) and broadcast by NumPy's, with every
broadcast explicit in the IR.
"""

from __future__ import annotations

from typing import Any

from .. import dtypes, errors
from ..dtypes import DType
from ..values import Tracer
from .core import (
    as_tracer,
    broadcast,
    broadcast_shapes,
    cast,
    emit,
    floating,
    need,
    op,
    promoted,
    recorder,
    unify,
)

_KIND_TEXT = {
    "float": "float (integers become float32)",
    "number": "number",
    "bool": "bool",
    "int": "integer",
    "bits": "integer or bool",
}


def _unary(public: str, mnemonic: str, kind: str, text: str, example: str = "") -> Any:
    def fn(x: Any, /) -> Tracer:
        if kind == "float":
            value = floating(public, x)
        else:
            value = need(public, as_tracer(public, x), kind)
        return recorder().emit(mnemonic, (value,), value.shape, value.dtype, weak=value.weak)

    return _document(
        fn, public, text, f"    x: [...] {_KIND_TEXT[kind]}.", "[...], the shape and dtype of x", example
    )


def _test(public: str, mnemonic: str, text: str, of_integers: bool) -> Any:
    def fn(x: Any, /) -> Tracer:
        value = as_tracer(public, x)
        if value.dtype.is_integer:
            return broadcast(recorder().constant(of_integers, dtypes.bool_), value.shape)
        need(public, value, "float")
        return emit(mnemonic, (value,), value.shape, dtypes.bool_)

    return _document(fn, public, text, "    x: [...] number.", "[...] bool", "")


def _binary(public: str, mnemonic: str, kind: str, text: str, example: str = "") -> Any:
    def fn(x1: Any, x2: Any, /) -> Tracer:
        a, b = unify(public, x1, x2)
        if kind == "float" and a.dtype.is_integer:
            a, b = cast(a, dtypes.DEFAULT_FLOAT), cast(b, dtypes.DEFAULT_FLOAT)
        need(public, a, kind)
        return recorder().emit(mnemonic, (a, b), a.shape, a.dtype, weak=a.weak and b.weak)

    args = f"    x1: [...] {_KIND_TEXT[kind]}.\n    x2: [...], broadcast against x1."
    return _document(fn, public, text, args, "the common shape and dtype", example)


def _compare(public: str, predicate: str, text: str) -> Any:
    def fn(x1: Any, x2: Any, /) -> Tracer:
        a, b = unify(public, x1, x2)
        need(public, a, "any" if predicate in ("eq", "ne") else "number")
        return emit("compare", (a, b), a.shape, dtypes.bool_, {"predicate": predicate})

    return _document(
        fn, public, text, "    x1: [...].\n    x2: [...], broadcast against x1.", "[...] bool", ""
    )


def _document(fn: Any, public: str, text: str, args: str, returns: str, example: str) -> Any:
    example = example or (
        f"tw.{public}(np.float32([0.5]))"
        if args.count("x1") == 0
        else f"tw.{public}(np.float32([6, 2]), np.float32(2))"
    )
    fn.__name__ = fn.__qualname__ = public
    fn.__doc__ = (
        f"{text}\n\nArgs:\n{args}\n\nReturns:\n    {returns}.\n\nRaises:\n"
        f"    DTypeError: the dtypes do not fit or do not mix.\n    ShapeError: the shapes do not broadcast.\n\n"
        f"Example:\n    >>> y = {example}\n"
    )
    return op(fn)


exp = _unary("exp", "exp", "float", "Compute e**x.")
exp2 = _unary("exp2", "exp2", "float", "Compute 2**x.")
expm1 = _unary("expm1", "expm1", "float", "Compute e**x - 1, accurate near 0.")
log = _unary("log", "log", "float", "Compute the natural logarithm.")
log2 = _unary("log2", "log2", "float", "Compute the logarithm to base 2.")
log10 = _unary("log10", "log10", "float", "Compute the logarithm to base 10.")
log1p = _unary("log1p", "log1p", "float", "Compute log(1 + x), accurate near 0.")
sqrt = _unary("sqrt", "sqrt", "float", "Compute the square root.")
rsqrt = _unary("rsqrt", "rsqrt", "float", "Compute 1 / sqrt(x).")
cbrt = _unary("cbrt", "cbrt", "float", "Compute the cube root.")
sin = _unary("sin", "sin", "float", "Compute the sine.")
cos = _unary("cos", "cos", "float", "Compute the cosine.")
tan = _unary("tan", "tan", "float", "Compute the tangent.")
asin = _unary("asin", "asin", "float", "Compute the inverse sine.")
acos = _unary("acos", "acos", "float", "Compute the inverse cosine.")
atan = _unary("atan", "atan", "float", "Compute the inverse tangent.")
sinh = _unary("sinh", "sinh", "float", "Compute the hyperbolic sine.")
cosh = _unary("cosh", "cosh", "float", "Compute the hyperbolic cosine.")
tanh = _unary("tanh", "tanh", "float", "Compute the hyperbolic tangent.")
asinh = _unary("asinh", "asinh", "float", "Compute the inverse hyperbolic sine.")
acosh = _unary(
    "acosh", "acosh", "float", "Compute the inverse hyperbolic cosine.", "tw.acosh(np.float32([1.5]))"
)
atanh = _unary("atanh", "atanh", "float", "Compute the inverse hyperbolic tangent.")
erf = _unary("erf", "erf", "float", "Compute the error function.")
sigmoid = _unary("sigmoid", "sigmoid", "float", "Compute 1 / (1 + exp(-x)).")
silu = _unary("silu", "silu", "float", "Compute x * sigmoid(x).")
negative = _unary("negative", "neg", "number", "Compute -x.")
abs = _unary("abs", "abs", "number", "Compute the absolute value.")
sign = _unary("sign", "sign", "number", "Compute -1, 0 or 1 by the sign; NaN stays NaN.")
square = _unary("square", "square", "number", "Compute x * x.")
reciprocal = _unary("reciprocal", "reciprocal", "float", "Compute 1 / x.")
logical_not = _unary(
    "logical_not", "logical_not", "bool", "Negate a bool.", "tw.logical_not(np.bool_([True]))"
)

isnan = _test("isnan", "is_nan", "Tell which elements are NaN.", False)
isinf = _test("isinf", "is_inf", "Tell which elements are plus or minus infinity.", False)
isfinite = _test("isfinite", "is_finite", "Tell which elements are neither infinite nor NaN.", True)

add = _binary("add", "add", "number", "Compute x1 + x2.")
subtract = _binary("subtract", "sub", "number", "Compute x1 - x2.")
multiply = _binary("multiply", "mul", "number", "Compute x1 * x2.")
divide = _binary("divide", "div", "float", "Compute x1 / x2; integers become float32.")
floor_divide = _binary("floor_divide", "floor_div", "number", "Compute floor(x1 / x2).")
remainder = _binary("remainder", "remainder", "number", "Compute x1 - floor(x1 / x2) * x2: the sign of x2.")
maximum = _binary("maximum", "max", "number", "Compute the larger value; NaN wins.")
minimum = _binary("minimum", "min", "number", "Compute the smaller value; NaN wins.")
atan2 = _binary("atan2", "atan2", "float", "Compute the angle of the point (x2, x1).")
hypot = _binary("hypot", "hypot", "float", "Compute sqrt(x1**2 + x2**2).")
copysign = _binary("copysign", "copysign", "float", "Compute |x1| with the sign of x2.")
_INTS = "(np.int32([6]), 2)"
bitwise_left_shift = _binary(
    "bitwise_left_shift", "shift_left", "int", "Compute x1 << x2.", f"tw.bitwise_left_shift{_INTS}"
)
bitwise_right_shift = _binary(
    "bitwise_right_shift",
    "shift_right",
    "int",
    "Compute x1 >> x2: keeps the sign of signed numbers.",
    f"tw.bitwise_right_shift{_INTS}",
)
bitwise_and = _binary("bitwise_and", "bitwise_and", "bits", "Compute x1 & x2.", f"tw.bitwise_and{_INTS}")
bitwise_or = _binary("bitwise_or", "bitwise_or", "bits", "Compute x1 | x2.", f"tw.bitwise_or{_INTS}")
bitwise_xor = _binary("bitwise_xor", "bitwise_xor", "bits", "Compute x1 ^ x2.", f"tw.bitwise_xor{_INTS}")
_BOOLS = "(np.bool_([True]), np.bool_([False]))"
logical_and = _binary("logical_and", "logical_and", "bool", "Compute x1 and x2.", f"tw.logical_and{_BOOLS}")
logical_or = _binary("logical_or", "logical_or", "bool", "Compute x1 or x2.", f"tw.logical_or{_BOOLS}")
logical_xor = _binary(
    "logical_xor", "logical_xor", "bool", "Compute x1 != x2 of bools.", f"tw.logical_xor{_BOOLS}"
)

equal = _compare("equal", "eq", "Tell where x1 == x2.")
not_equal = _compare("not_equal", "ne", "Tell where x1 != x2.")
less = _compare("less", "lt", "Tell where x1 < x2.")
less_equal = _compare("less_equal", "le", "Tell where x1 <= x2.")
greater = _compare("greater", "gt", "Tell where x1 > x2.")
greater_equal = _compare("greater_equal", "ge", "Tell where x1 >= x2.")


@op
def positive(x: Any, /) -> Tracer:
    """Return x unchanged.

    Args:
        x: [...] number.

    Raises:
        DTypeError: x is a bool.

    Example:
        >>> y = tw.positive(np.float32([0.5]))
    """
    return need("positive", as_tracer("positive", x), "number")


@op
def bitwise_invert(x: Any, /) -> Tracer:
    """Compute ~x: the complement of integers, the negation of bools.

    Args:
        x: [...] integer or bool.

    Raises:
        DTypeError: x is a float.

    Example:
        >>> y = tw.bitwise_invert(np.int32([6]))
    """
    value = need("bitwise_invert", as_tracer("bitwise_invert", x), "bits")
    return emit("logical_not" if value.dtype.is_bool else "bitwise_not", (value,), value.shape, value.dtype)


def _rounding(public: str, mnemonic: str, text: str) -> Any:
    def fn(x: Any, /) -> Tracer:
        value = need(public, as_tracer(public, x), "number")
        return value if value.dtype.is_integer else emit(mnemonic, (value,), value.shape, value.dtype)

    return _document(fn, public, text, "    x: [...] number; integers pass.", "[...], the dtype of x", "")


floor = _rounding("floor", "floor", "Round towards minus infinity.")
ceil = _rounding("ceil", "ceil", "Round towards plus infinity.")
trunc = _rounding("trunc", "trunc", "Round towards zero.")


@op
def round(x: Any, /, decimals: int = 0) -> Tracer:
    """Round to the nearest, halves to even.

    Args:
        x: [...] number; integers pass.
        decimals: digits after the point to keep.

    Raises:
        DTypeError: x is a bool.

    Example:
        >>> y = tw.round(np.float32([0.5, 1.5]))
    """
    value = need("round", as_tracer("round", x), "number")
    if value.dtype.is_integer:
        return value
    if decimals:
        return divide(
            emit("round", (multiply(value, 10.0**decimals),), value.shape, value.dtype), 10.0**decimals
        )
    return emit("round", (value,), value.shape, value.dtype)


@op
def pow(x1: Any, x2: Any, /) -> Tracer:
    """Compute x1 ** x2; small constant exponents become products and roots.

    Args:
        x1: [...] number.
        x2: [...] number, broadcast against x1; an int exponent may stand beside floats.

    Raises:
        DTypeError: the dtypes do not mix.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> y = tw.pow(np.float32([3]), 2)
    """
    if isinstance(x1, Tracer) and type(x2) in (int, float):
        if x2 == 2:
            return square(x1)
        if x1.dtype.is_float and x2 in (0.5, -0.5, -1):
            return {0.5: sqrt, -0.5: rsqrt, -1: reciprocal}[x2](x1)
    a, b = unify("pow", x1, x2)
    need("pow", a, "number")
    return emit("pow", (a, b), a.shape, a.dtype)


@op
def where(condition: Any, x1: Any, x2: Any, /) -> Tracer:
    """Choose x1 where the condition holds, x2 elsewhere.

    Args:
        condition: [...] bool.
        x1: [...].
        x2: [...]; the three are broadcast together.

    Raises:
        DTypeError: the condition is no bool, or x1 and x2 do not mix.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> y = tw.where(np.bool_([True, False]), np.float32([1, 2]), 0.0)
    """
    mask = need("where", as_tracer("where", condition), "bool")
    dtype, _ = promoted("where", (x1, x2))
    a, b = (cast(as_tracer("where", x, dtype), dtype) for x in (x1, x2))
    shape = broadcast_shapes("where", mask.shape, a.shape, b.shape)
    return emit("select", (broadcast(mask, shape), broadcast(a, shape), broadcast(b, shape)), shape, dtype)


@op
def clip(x: Any, /, min: Any = None, max: Any = None) -> Tracer:
    """Limit values to the interval [min, max].

    Args:
        x: [...] number.
        min: lower bound, broadcast against x, or None.
        max: upper bound, broadcast against x, or None.

    Raises:
        DTypeError: the dtypes do not mix.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> y = tw.clip(np.float32([-3, 5]), 0, 1)
    """
    value = need("clip", as_tracer("clip", x), "number")
    if min is not None:
        value = maximum(value, min)
    return value if max is None else minimum(value, max)


@op
def astype(x: Any, dtype: Any, /, copy: bool = True) -> Tracer:
    """Convert elements to another dtype.

    Float to integer truncates towards zero; number to bool tells what is not zero; bool to number gives 0 and 1.

    Args:
        x: [...].
        dtype: a dtype name or object.

    Raises:
        DTypeError: the dtype is not supported, or one of the two holds 4-bit integers, which are only stored.

    Example:
        >>> y = tw.astype(np.int32([1, 2]), "float32")
    """
    target: DType = dtypes.of(dtype)
    value = as_tracer("astype", x)
    if value.dtype is not target and 4 in (value.dtype.bits, target.bits):
        errors.fail(
            errors.DTypeError,
            f"astype: {value.dtype} elements cannot become {target}",
            help="4-bit integers are stored: tw.quantize makes them, tw.dequantize makes floats of them.",
        )
    return cast(value, target)


@op
def logaddexp(x1: Any, x2: Any, /) -> Tracer:
    """Compute log(exp(x1) + exp(x2)) without overflow.

    Args:
        x1: [...] float.
        x2: [...], broadcast against x1.

    Raises:
        DTypeError: the dtypes do not mix.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> y = tw.logaddexp(np.float32([0.5]), np.float32([0.5]))
    """
    a, b = (floating("logaddexp", x) for x in unify("logaddexp", x1, x2))
    return maximum(a, b) + log1p(exp(-abs(a - b)))


@op
def signbit(x: Any, /) -> Tracer:
    """Tell which elements carry a minus sign (-0.0 and negative NaN included).

    Args:
        x: [...] float.

    Raises:
        DTypeError: x is no float.

    Example:
        >>> y = tw.signbit(np.float32([-0.0]))
    """
    value = floating("signbit", x)
    return less(copysign(broadcast(recorder().constant(1.0, value.dtype), value.shape), value), 0.0)
