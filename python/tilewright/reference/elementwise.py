"""Elementwise operations: operands and result have one shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray


def _per_element(function: Callable[[float], float]) -> Callable[[Array], Array]:
    """Apply a function of Python floats to an array; libm is right to the last bits, and needs no SciPy."""
    ufunc = np.frompyfunc(function, 1, 1)

    def apply(x: Array) -> Array:
        return np.asarray(ufunc(x.astype(np.float64))).astype(x.dtype)

    return apply


erf = _per_element(math.erf)
erfc = _per_element(math.erfc)


def gelu(x: Array, approximate: str = "none") -> Array:
    """x Φ(x). ``erfc`` keeps the digits that 1 + erf loses where x is very negative."""
    if approximate == "tanh":
        # (1 + tanh(u)) / 2 is a logistic function, which loses none either.
        return x * sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    return 0.5 * x * erfc(-x / math.sqrt(2))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def silu(x: Array) -> Array:
    """x * sigmoid(x); minus infinity gives NaN, as the formula does."""
    return x / (1 + np.exp(-x))


def sign(x: Array) -> Array:
    """-1, 0 or 1; NaN stays."""
    return np.sign(x)


def floor_div(lhs: Array, rhs: Array) -> Array:
    """The quotient rounded down; an integer divided by 0 gives 0."""
    if lhs.dtype.kind == "f":
        return np.floor_divide(lhs, rhs)
    safe = np.where(rhs == 0, np.ones_like(rhs), rhs)
    return np.where(rhs == 0, np.zeros_like(lhs), np.floor_divide(lhs, safe))


def remainder(lhs: Array, rhs: Array) -> Array:
    """What :func:`floor_div` leaves, with the sign of the divisor; an integer divided by 0 leaves 0."""
    if lhs.dtype.kind == "f":
        return np.remainder(lhs, rhs)
    safe = np.where(rhs == 0, np.ones_like(rhs), rhs)
    return np.where(rhs == 0, np.zeros_like(lhs), np.remainder(lhs, safe))


def power(lhs: Array, rhs: Array) -> Array:
    """lhs ** rhs; integers wrap, and 1 / (lhs ** -rhs) rounds to zero for negative exponents."""
    if lhs.dtype.kind in "fu":
        return np.power(lhs, rhs)
    magnitude = np.power(lhs, np.where(rhs < 0, np.zeros_like(rhs), rhs))
    odd = (rhs & 1) != 0
    inverse = np.where(lhs == 1, 1, np.where(lhs == -1, np.where(odd, -1, 1), 0)).astype(lhs.dtype)
    return np.where(rhs < 0, inverse, magnitude)


_PREDICATES = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def compare(lhs: Array, rhs: Array, predicate: str) -> Array:
    """Compare; with NaN every predicate but ``ne`` is false."""
    return _PREDICATES[predicate](lhs, rhs)


def select(condition: Array, on_true: Array, on_false: Array) -> Array:
    """``on_true`` where the condition holds, else ``on_false``."""
    return np.where(condition, on_true, on_false)


def cast(x: Array, dtype: Any) -> Array:
    """Convert elements: integers wrap; floats to integers round to zero, are clamped, and NaN becomes 0."""
    target = np.dtype(dtype)
    if x.dtype.name.startswith("float8"):
        x = x.astype(np.float32)
    if target.kind == "b":
        return x != 0
    if x.dtype.kind == "f" and target.kind in "iu":
        info = np.iinfo(target)
        whole = np.trunc(np.nan_to_num(x, nan=0.0, posinf=np.inf, neginf=-np.inf))
        inside = (whole >= float(info.min)) & (whole < float(info.max) + 1.0)
        # float(2**63 - 1) rounds up to 2**63, which does not convert: the clamp is a choice, not a minimum.
        clamped = np.where(whole < 0, target.type(info.min), target.type(info.max))
        return np.where(inside, np.where(inside, whole, 0).astype(target), clamped)
    return x.astype(target)


def copysign(lhs: Array, rhs: Array) -> Array:
    """The magnitude of lhs with the sign of rhs."""
    return np.copysign(lhs, rhs)


TABLE: dict[str, Callable] = {
    # unary, floating point
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "cbrt": np.cbrt,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": erf,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "round": np.rint,
    "sigmoid": sigmoid,
    "silu": silu,
    "gelu": gelu,
    "reciprocal": lambda x: 1 / x,
    # unary, other
    "neg": lambda x: np.zeros_like(x) - x if x.dtype.kind == "u" else -x,
    "abs": np.abs,
    "sign": sign,
    "square": np.square,
    "is_nan": np.isnan,
    "is_inf": np.isinf,
    "is_finite": np.isfinite,
    "logical_not": np.logical_not,
    "bitwise_not": np.bitwise_not,
    # binary
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "floor_div": floor_div,
    "remainder": remainder,
    "pow": power,
    "max": np.maximum,
    "min": np.minimum,
    "atan2": np.arctan2,
    "hypot": np.hypot,
    "copysign": copysign,
    "shift_left": np.left_shift,
    "shift_right": np.right_shift,
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    # comparison, choice, conversion
    "compare": compare,
    "select": select,
    "cast": cast,
}
