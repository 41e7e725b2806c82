"""Rows of the op matrix: elementwise operations."""

from __future__ import annotations

import numpy as np
import tilewright as tw
from op_case import FLOATS, INTEGERS, NUMBERS, SIGNED, Case, In
from tilewright.reference import REFERENCE as ref

#: name in the dialect → (public function, NumPy, range of inputs)
UNARY = {
    "exp": ("exp", np.exp, -8, 8),
    "exp2": ("exp2", np.exp2, -8, 8),
    "expm1": ("expm1", np.expm1, -4, 4),
    "log": ("log", np.log, 1e-3, 99),
    "log2": ("log2", np.log2, 1e-3, 99),
    "log10": ("log10", np.log10, 1e-3, 99),
    "log1p": ("log1p", np.log1p, -0.9, 9),
    "sqrt": ("sqrt", np.sqrt, 0, 99),
    "rsqrt": ("rsqrt", ref["rsqrt"], 1e-2, 99),
    "cbrt": ("cbrt", np.cbrt, -99, 99),
    "sin": ("sin", np.sin, -6, 6),
    "cos": ("cos", np.cos, -6, 6),
    "tan": ("tan", np.tan, -1.5, 1.5),
    "asin": ("asin", np.arcsin, -1, 1),
    "acos": ("acos", np.arccos, -1, 1),
    "atan": ("atan", np.arctan, -9, 9),
    "sinh": ("sinh", np.sinh, -5, 5),
    "cosh": ("cosh", np.cosh, -5, 5),
    "tanh": ("tanh", np.tanh, -5, 5),
    "asinh": ("asinh", np.arcsinh, -9, 9),
    "acosh": ("acosh", np.arccosh, 1, 99),
    "atanh": ("atanh", np.arctanh, -0.99, 0.99),
    "erf": ("erf", ref["erf"], -4, 4),
    "sigmoid": ("sigmoid", ref["sigmoid"], -9, 9),
    "silu": ("silu", ref["silu"], -9, 9),
    "reciprocal": ("reciprocal", np.reciprocal, 0.1, 9),
    "floor": ("floor", np.floor, -9, 9),
    "ceil": ("ceil", np.ceil, -9, 9),
    "trunc": ("trunc", np.trunc, -9, 9),
    "round": ("round", np.rint, -9, 9),
}
# Near a root the error of the argument's own rounding inside the formula shows: judged against 1.
_CANCELS = {"log", "log2", "log10", "sin", "cos", "tan", "acos", "acosh", "erf", "asinh", "sinh"}

BINARY_FLOAT = {
    "div": ("divide", np.divide, 0.2, 9),
    "atan2": ("atan2", np.arctan2, -5, 5),
    "hypot": ("hypot", np.hypot, -9, 9),
    "copysign": ("copysign", np.copysign, -5, 5),
}
BINARY_NUMBER = {
    "add": ("add", np.add),
    "sub": ("subtract", np.subtract),
    "mul": ("multiply", np.multiply),
    "max": ("maximum", np.maximum),
    "min": ("minimum", np.minimum),
}
BITS = {
    "bitwise_and": ("bitwise_and", np.bitwise_and),
    "bitwise_or": ("bitwise_or", np.bitwise_or),
    "bitwise_xor": ("bitwise_xor", np.bitwise_xor),
}
LOGICAL = {
    "logical_and": ("logical_and", np.logical_and),
    "logical_or": ("logical_or", np.logical_or),
    "logical_xor": ("logical_xor", np.logical_xor),
}
COMPARE = {
    "eq": ("equal", np.equal),
    "ne": ("not_equal", np.not_equal),
    "lt": ("less", np.less),
    "le": ("less_equal", np.less_equal),
    "gt": ("greater", np.greater),
    "ge": ("greater_equal", np.greater_equal),
}


def public(name: str):
    """The public function, looked up when called: collecting tests imports no compiler."""
    return lambda *args, **options: getattr(tw, name)(*args, **options)


def _wide(low: float = -120, high: float = 120) -> tuple[In, In]:
    return In("m n", low, high), In("m n", low, high)


CASES: list[Case] = [
    *(
        Case(op, public(name), fn, (In("m n", low, high),), scale=1.0 if op in _CANCELS else None)
        for op, (name, fn, low, high) in UNARY.items()
    ),
    Case("gelu", lambda x: tw.gelu(x), ref["gelu"], (In("m n", -4, 4),), scale=4.0, label="erf"),
    Case(
        "gelu",
        lambda x: tw.gelu(x, approximate="tanh"),
        lambda x: ref["gelu"](x, approximate="tanh"),
        (In("m n", -4, 4),),
        scale=4.0,
        label="tanh",
    ),
    *(
        Case(op, public(name), fn, (In("m n", low, high), In("m n", low, high)))
        for op, (name, fn, low, high) in BINARY_FLOAT.items()
    ),
    *(
        Case(op, public(name), fn, _wide(), dtypes=NUMBERS, scale=120.0 if op in ("add", "sub") else None)
        for op, (name, fn) in BINARY_NUMBER.items()
    ),
    Case("floor_div", public("floor_divide"), ref["floor_div"], _wide(), dtypes=NUMBERS),
    Case("remainder", public("remainder"), ref["remainder"], _wide(), dtypes=NUMBERS),
    Case(
        "pow",
        public("pow"),
        np.power,
        (In("m n", 0.1, 4), In("m n", -3, 3)),
        label="float",
        scale=None,
    ),
    Case("pow", public("pow"), ref["pow"], (In("m n", -5, 5), In("m n", 0, 6)), dtypes=INTEGERS, label="integer"),
    Case("neg", public("negative"), ref["neg"], (In("m n", -120, 120),), dtypes=NUMBERS),
    Case("abs", public("abs"), np.abs, (In("m n", -120, 120),), dtypes=NUMBERS),
    Case("sign", public("sign"), np.sign, (In("m n", -2, 2),), dtypes=NUMBERS),
    Case("square", public("square"), np.square, (In("m n", -9, 9),), dtypes=NUMBERS),
    Case("bitwise_not", public("bitwise_invert"), np.bitwise_not, (In("m n", -120, 120),), dtypes=INTEGERS),
    Case("logical_not", public("logical_not"), np.logical_not, (In("m n"),), dtypes=("bool",)),
    *(Case(op, public(name), fn, _wide(), dtypes=(*INTEGERS, "bool")) for op, (name, fn) in BITS.items()),
    *(Case(op, public(name), fn, (In("m n"), In("m n")), dtypes=("bool",)) for op, (name, fn) in LOGICAL.items()),
    *(
        Case(
            op, public(name), fn, (In("m n", -120, 120), In("m n", 0, 9)), dtypes=INTEGERS, label="beyond the width"
        )
        for op, name, fn in (
            ("shift_left", "bitwise_left_shift", np.left_shift),
            ("shift_right", "bitwise_right_shift", np.right_shift),
        )
    ),
    *(
        Case(
            "compare", public(name), fn, (In("m n", -2, 2), In("m n", -2, 2)), dtypes=(*NUMBERS, "bool")
            if predicate in ("eq", "ne") else NUMBERS, label=predicate,
        )
        for predicate, (name, fn) in COMPARE.items()
    ),
    Case("is_nan", public("isnan"), np.isnan, (In("m n"),)),
    Case("is_inf", public("isinf"), np.isinf, (In("m n"),)),
    Case("is_finite", public("isfinite"), np.isfinite, (In("m n"),)),
    Case(
        "select", public("where"), np.where, (In("m n", dtype="bool"), In("m n", -9, 9), In("m n", -9, 9)),
        dtypes=(*NUMBERS, "bool"),
    ),
]  # fmt: skip

#: Conversions: every dtype to a few that stand for each kind.
CASTS: list[Case] = [
    Case(
        "cast",
        lambda x, target=target: tw.astype(x, target),
        lambda x, target=target: ref["cast"](x, dtype=np.float64 if target in FLOATS else target),
        (In("m n", -120, 120),),
        dtypes=(*NUMBERS, "bool"),
        label=f"to-{target}",
    )
    for target in (*FLOATS, "int8", "uint8", "int32", "uint32", "int64", "uint64", "bool")
]
__all__ = ["CASES", "CASTS", "SIGNED", "UNARY", "public"]
