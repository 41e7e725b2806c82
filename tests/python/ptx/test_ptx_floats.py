"""Float instructions of the PTX interpreter against exact rational arithmetic, rounded once."""

from __future__ import annotations

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from ptx_kernels import apply, bfloat16, edge_floats, pairs, rounded, same

KINDS = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64}


def check(found: np.ndarray, kind: str, mode: str, function, *arrays: np.ndarray) -> None:
    """Hold results against a function of fractions, and of floats where an operand is not finite."""
    for values in zip(found.astype(np.float64).tolist(), *(a.astype(np.float64).tolist() for a in arrays)):
        result, operands = values[0], values[1:]
        if all(math.isfinite(v) for v in operands):
            expected = rounded(function(*(Fraction(v) for v in operands)), kind, mode)
            assert result == expected or (math.isnan(result) and math.isnan(expected)), (
                operands,
                result,
                expected,
            )
        else:
            with np.errstate(all="ignore"):
                expected = float(function(*(np.float64(v) for v in operands)))
            assert same(np.array(result), np.array(expected)), (operands, result, expected)


def samples(kind: str, count: int = 700) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return three arrays: combinations of edge values, then random values of like and of unlike size."""
    dtype = KINDS[kind]
    rng = np.random.default_rng(7)
    a, b = pairs(edge_floats(dtype), count=count)
    c = rng.permutation(a)
    spread = [rng.standard_normal(count) * 2.0 ** rng.integers(-12, 12, count) for _ in range(3)]
    return tuple(np.concatenate([x, y.astype(dtype)]) for x, y in zip((a, b, c), spread))  # type: ignore[return-value]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["add", "sub", "mul"])
def test_one_rounding(name: str, kind: str) -> None:
    a, b, _ = samples(kind)
    function = {"add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y}[name]
    (found,) = apply(f"{name}.rn.{kind} %x, %a, %b;", [a, b], [a.dtype])
    check(found, kind, "rn", function, a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_fma_rounds_once(kind: str) -> None:
    a, b, c = samples(kind)
    (found,) = apply(f"fma.rn.{kind} %x, %a, %b, %c;", [a, b, c], [a.dtype])
    check(found, kind, "rn", lambda x, y, z: x * y + z, a, b, c)


def test_fma_where_float64_rounds_to_a_tie() -> None:
    # 1 + 2^-24 + 2^-80: float64 drops the last term and sees a tie, which would go to the even neighbour.
    a = np.array([2.0**-40, 2.0**-40, -(2.0**-40), 3 * 2.0**-75], np.float32)
    b = np.array([2.0**-40, -(2.0**-40), 2.0**-40, 2.0**-75], np.float32)
    c = np.array([1 + 2**-23, 1.0, 1.0, 2.0**-149], np.float32)
    for scale in (1.0, 2.0**-24):
        tail = np.array([2.0**-24, 2.0**-24, 2.0**-24, 0], np.float32) * np.float32(scale)
        (found,) = apply("fma.rn.f32 %x, %a, %b, %c;", [a, b, c + tail * 0], [np.float32])
        check(found, "f32", "rn", lambda x, y, z: x * y + z, a, b, c)
    one = np.array([1 + 2**-12], np.float32)
    product = np.array([2.0**-12], np.float32)
    (found,) = apply(
        "fma.rn.f32 %x, %a, %b, %c;", [one, product, np.array([2.0**-60], np.float32)], [np.float32]
    )
    check(found, "f32", "rn", lambda x, y, z: x * y + z, one, product, np.array([2.0**-60], np.float32))


@pytest.mark.parametrize("mode", ["rz", "rm", "rp"])
def test_directed_rounding(mode: str) -> None:
    a, b, c = samples("f32", 400)
    total, product, fused = apply(
        f"add.{mode}.f32 %x, %a, %b;\n mul.{mode}.f32 %y, %a, %b;\n fma.{mode}.f32 %z, %a, %b, %c;",
        [a, b, c],
        [np.float32] * 3,
    )
    check(total, "f32", mode, lambda x, y: x + y, a, b)
    check(product, "f32", mode, lambda x, y: x * y, a, b)
    check(fused, "f32", mode, lambda x, y, z: x * y + z, a, b, c)


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_division_roots(kind: str) -> None:
    dtype = KINDS[kind]
    a, b, _ = samples(kind)
    quotient, root, inverse = apply(
        f"div.rn.{kind} %x, %a, %b;\n sqrt.rn.{kind} %y, %a;\n rcp.rn.{kind} %z, %b;", [a, b], [dtype] * 3
    )
    with np.errstate(all="ignore"):
        assert same(quotient, a / b) and same(root, np.sqrt(a)) and same(inverse, dtype(1) / b)


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_pairs_work_like_two_values(kind: str) -> None:
    a, b, c = samples(kind, 300)
    packed = [np.ascontiguousarray(v[: v.size // 2 * 2]).view(np.uint32) for v in (a, b, c)]
    singles = [v[: v.size // 2 * 2] for v in (a, b, c)]
    for name, count in (
        ("fma.rn", 3),
        ("add.rn", 2),
        ("mul.rn", 2),
        ("min", 2),
        ("max.NaN", 2),
        ("neg", 1),
        ("abs", 1),
    ):
        letters = "%a, %b, %c"[: 4 * count - 2]
        (two,) = apply(f"{name}.{kind}x2 %x, {letters};", packed[:count], [np.uint32])
        (one,) = apply(f"{name}.{kind} %x, {letters};", singles[:count], [a.dtype])
        assert same(two.view(a.dtype), one), name


@pytest.mark.parametrize("kind", KINDS)
def test_extrema_and_nans(kind: str) -> None:
    a, b = pairs(edge_floats(KINDS[kind]))
    least, most = apply(f"min.{kind} %x, %a, %b;\n max.{kind} %y, %a, %b;", [a, b], [a.dtype] * 2)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    zeros = (wide_a == 0) & (wide_b == 0)
    either, both = np.signbit(wide_a) | np.signbit(wide_b), np.signbit(wide_a) & np.signbit(wide_b)
    assert same(least, np.where(zeros, np.where(either, -0.0, 0.0), np.fmin(wide_a, wide_b)))
    assert same(most, np.where(zeros, np.where(both, -0.0, 0.0), np.fmax(wide_a, wide_b)))
    if kind != "f64":
        nan = np.isnan(wide_a) | np.isnan(wide_b)
        (strict,) = apply(f"max.NaN.{kind} %x, %a, %b;", [a, b], [a.dtype])
        assert (np.isnan(strict.astype(np.float64)) == nan).all()


@pytest.mark.parametrize("kind", KINDS)
def test_comparisons(kind: str) -> None:
    a, b = pairs(edge_floats(KINDS[kind]))
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    nan = np.isnan(wide_a) | np.isnan(wide_b)
    truth = {
        "eq": wide_a == wide_b, "ne": wide_a != wide_b, "lt": wide_a < wide_b,
        "le": wide_a <= wide_b, "gt": wide_a > wide_b, "ge": wide_a >= wide_b,
    }  # fmt: skip
    for name, expected in truth.items():
        both = f"setp.{name}u.{kind} %p3|%p4, %a, %b;"
        if kind in ("f16", "bf16"):  # these have one result
            both = f"setp.{name}u.{kind} %p3, %a, %b;\n  not.pred %p4, %p3;"
        body = f"""  setp.{name}.{kind} %p2, %a, %b;
  {both}
  setp.{name}.and.{kind} %p5, %a, %b, !%p2;
  selp.u32 %x, 1, 0, %p2;
  selp.u32 %y, 1, 0, %p3;
  selp.u32 %r9, 2, 0, %p4;
  selp.u32 %z, 4, %r9, %p5;"""
        ordered, unordered, others = apply(body, [a, b], [np.uint32] * 3)
        assert (ordered == (expected & ~nan)).all(), name
        assert (unordered == (expected | nan)).all(), name
        assert (others == np.where(expected | nan, 0, 2)).all(), name
    number, missing = apply(
        f"setp.num.{kind} %p2, %a, %b;\n setp.nan.{kind} %p3, %a, %b;\n selp.u32 %x, 1, 0, %p2;\n selp.u32 %y, 1, 0, %p3;",
        [a, b], [np.uint32] * 2,
    )  # fmt: skip
    assert (number == ~nan).all() and (missing == nan).all()


def test_flush_and_saturation() -> None:
    a, b = pairs(edge_floats(np.float32))
    flushed, clamped, plain = apply(
        "mul.ftz.f32 %x, %a, %b;\n add.sat.f32 %y, %a, %b;\n mul.f32 %z, %a, %b;", [a, b], [np.float32] * 3
    )

    def zeroed(v: np.ndarray) -> np.ndarray:
        return np.where(np.abs(v) < 2.0**-126, np.copysign(np.float32(0), v), v)

    with np.errstate(all="ignore"):
        assert same(flushed, zeroed(zeroed(a) * zeroed(b))) and same(plain, a * b)
        total = a + b
        assert (clamped == np.where(np.isnan(total), 0, np.clip(total, 0, 1))).all()


def test_approximate_functions() -> None:
    a = np.linspace(0.01, 30, 500, dtype=np.float32)
    functions = {
        "ex2.approx.f32": np.exp2, "lg2.approx.f32": np.log2, "sin.approx.f32": np.sin, "cos.approx.f32": np.cos,
        "tanh.approx.f32": np.tanh, "rcp.approx.ftz.f32": np.reciprocal, "sqrt.approx.f32": np.sqrt,
        "rsqrt.approx.ftz.f32": lambda v: 1 / np.sqrt(v),
    }  # fmt: skip
    for name, function in functions.items():
        (found,) = apply(f"{name} %x, %a;", [a], [np.float32])
        assert (found == function(a.astype(np.float64)).astype(np.float32)).all(), name
    approximate, full = apply(
        "div.approx.f32 %x, %a, %a;\n div.full.f32 %y, 0f3F800000, %a;", [a], [np.float32] * 2
    )
    assert (approximate == 1).all() and (full == np.float32(1) / a).all()
    half = a.astype(np.float16)
    power, curve = apply("ex2.approx.f16 %x, %a;\n tanh.approx.f16 %y, %a;", [half], [np.float16] * 2)
    with np.errstate(over="ignore"):
        assert same(power, np.exp2(half.astype(np.float64)).astype(np.float16))
    assert (curve == np.tanh(half.astype(np.float64)).astype(np.float16)).all()


def test_signs_and_classes() -> None:
    a, b = pairs(edge_floats(np.float32))
    copied, negative, size = apply(
        "copysign.f32 %x, %a, %b;\n neg.f32 %y, %a;\n abs.f32 %z, %a;", [a, b], [np.float32] * 3
    )
    assert same(copied, np.copysign(b, a)) and same(negative, -a) and same(size, np.abs(a))
    classes = {
        "finite": np.isfinite,
        "infinite": np.isinf,
        "notanumber": np.isnan,
        "number": lambda v: ~np.isnan(v),
    }
    for name, function in classes.items():
        (found,) = apply(f"testp.{name}.f32 %p2, %a;\n selp.u32 %x, 1, 0, %p2;", [a], [np.uint32])
        assert (found == function(a)).all(), name


def test_literals() -> None:
    a = np.ones(1, np.float32)
    body = """  mov.f32 %r9, 0fC0490FDB;
  add.f32 %x, %a, %r9;
  mov.b16 %h1, 0x3C00;
  add.f16 %y, %h1, %h1;
  mov.f64 %d9, 0d3FF8000000000000;
  mov.b64 %z, %d9;"""
    single, half, double = apply(body, [a], [np.float32, np.float16, np.float64])
    assert single[0] == np.float32(1) - np.float32(np.pi) and half[0] == 2 and double[0] == 1.5
    assert bfloat16(1.0) == 1
