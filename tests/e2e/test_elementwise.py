"""Every elementwise operation × dtype × shape family × target, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import tilewright as tw
from cases_elementwise import CASES, CASTS, UNARY, public
from op_matrix import TARGETS, parameters, run_dynamic, run_static
from tilewright import dtypes
from tilewright.reference import REFERENCE
from tolerance import assert_close


@pytest.mark.parametrize(("case", "dtype"), parameters([*CASES, *CASTS]))
def test_dynamic_sizes(case, dtype):
    run_dynamic(case, dtype)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id.replace(" ", "-"))
def test_static_sizes(case):
    # Dtypes are the dynamic test's business; what static shapes change does not depend on them.
    families = case.families()
    for sizes in families[:2] + families[3:6:2]:
        run_static(case, case.dtypes[0], sizes)


def _special(dtype: dtypes.DType) -> np.ndarray:
    info = dtypes.finfo(dtype)
    values = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        np.inf,
        -np.inf,
        np.nan,
        info.max,
        info.min,
        info.smallest_normal,
        0.5,
        2.0,
        -2.0,
    ]
    return np.array([*values, info.eps, 1e3, -1e3, 88.0, -88.0, 1e-5], np.float64).astype(dtype.numpy)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", sorted(UNARY))
def test_special_values(op, dtype, target):
    """NaN, infinities, zeros and the ends of the range, and a vector's width more than there are of them."""
    if op in ("sin", "cos", "tan") and dtype == "float32":
        values = _special(dtypes.by_name(dtype))
        values = values[~(np.abs(values) > 1e30)]
    else:
        values = _special(dtypes.by_name(dtype))
    x = np.concatenate([values, values[::-1]])
    traced = tw.jit(public(UNARY[op][0])).trace(tw.spec((tw.Dim("n"),), dtype))
    with np.errstate(all="ignore"):
        expected = REFERENCE[op](x.astype(np.float64))
    scale = 1.0 if op in ("sin", "cos", "tan", "acos", "log", "log2", "log10") else None
    with np.errstate(all="ignore"):
        actual = traced.lower(target).compile()(x)
    assert_close(actual, expected, dtype, magnitude=scale, what=f"{op} {dtype} on {target}")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "op", ["max", "min", "div", "floor_div", "remainder", "atan2", "hypot", "copysign", "pow"]
)
def test_special_pairs(op, target):
    names = {"max": "maximum", "min": "minimum", "div": "divide", "floor_div": "floor_divide"}
    values = _special(dtypes.float32)
    a, b = (x.reshape(-1) for x in np.meshgrid(values, values))
    keep = np.ones(a.shape, bool)
    if op in ("floor_div", "remainder"):  # quotients beyond float32 have no digits left to compare
        with np.errstate(all="ignore"):
            keep = ~(np.abs(a.astype(np.float64) / b.astype(np.float64)) > 2**22) | np.isinf(a) | (b == 0)
    a, b = a[keep], b[keep]
    n = tw.Dim("n")
    traced = tw.jit(public(names.get(op, op))).trace(tw.spec((n,), "float32"), tw.spec((n,), "float32"))
    with np.errstate(all="ignore"):
        expected = REFERENCE[op](a.astype(np.float64), b.astype(np.float64))
        actual = traced.lower(target).compile()(a, b)
    assert_close(actual, expected, "float32", what=f"{op} on {target}")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["int8", "int32", "int64", "uint8", "uint64"])
@pytest.mark.parametrize(
    "op", ["floor_div", "remainder", "shift_left", "shift_right", "neg", "abs", "mul", "add"]
)
def test_ends_of_the_integers(op, name, target):
    public_name = {
        "floor_div": "floor_divide", "shift_left": "bitwise_left_shift", "shift_right": "bitwise_right_shift",
        "neg": "negative", "mul": "multiply",
    }.get(op, op)  # fmt: skip
    info = dtypes.iinfo(name)
    values = np.array(
        [info.min, info.max, 0, 1, 2, 3, info.max - 1, info.min + 1, info.bits - 1, info.bits], name
    )
    if info.min < 0:
        values = np.append(values, np.array([-1, -2, -7], name))
    a, b = (x.reshape(-1) for x in np.meshgrid(values, values))
    operands = (a,) if op in ("neg", "abs") else (a, b)
    n = tw.Dim("n")
    traced = tw.jit(public(public_name)).trace(*(tw.spec((n,), name) for _ in operands))
    with np.errstate(all="ignore"):
        expected = REFERENCE[op](*operands)
    np.testing.assert_array_equal(np.asarray(traced.lower(target).compile()(*operands)), expected)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("to", ["int8", "uint8", "int32", "uint32", "int64", "uint64", "bool"])
@pytest.mark.parametrize("source", ["float32", "float64"])
def test_casts_of_what_does_not_fit(source, to, target):
    x = np.concatenate(
        [_special(dtypes.by_name(source)), np.array([127.6, 128.0, -128.9, 255.5, -0.9], source)]
    )
    x = np.append(x, np.array([2.0**31, 2.0**32, 2.0**63, -(2.0**63), 2.0**64, 1e30], source))
    traced = tw.jit(lambda v: tw.astype(v, to)).trace(tw.spec((tw.Dim("n"),), source))
    expected = REFERENCE["cast"](x.astype(np.float64), dtype=to)
    np.testing.assert_array_equal(np.asarray(traced.lower(target).compile()(x)), expected)
