"""float8_e4m3fn and float8_e5m2: conversions as ml_dtypes has them, moves, products; refusals for all other arithmetic."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import tilewright as tw
from cuda_device import DeviceProgram
from op_matrix import fresh_rng
from tilewright.targets.cuda import select

FLOAT8 = ["float8_e4m3fn", "float8_e5m2"]
CODES = np.arange(256, dtype=np.uint8)


def numpy_of(name):
    return np.dtype(getattr(ml_dtypes, name))


def same(found, expected):
    """Equal bits, signs of zeros too, but any NaN for a NaN."""
    nans = np.isnan(found.astype(np.float64)), np.isnan(expected.astype(np.float64))
    kind = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}[found.dtype.itemsize]
    return found.dtype == expected.dtype and np.array_equal(*nans) and np.array_equal(
        found.view(kind)[~nans[0]], expected.view(kind)[~nans[0]]
    )  # fmt: skip


def sources(wide):
    """Values of a float type that are hard to round to 8 bits: all of its codes, or those around all ties."""
    if wide in ("float16", "bfloat16"):
        return np.arange(65536).astype(np.uint16).view(tw.dtypes.by_name(wide).numpy)
    dtype = np.dtype(wide)
    with np.errstate(all="ignore"):
        halves = np.arange(65536).astype(np.uint16).view(np.float16).astype(dtype)
        around = [np.nextafter(halves, dtype.type(to)) for to in (-np.inf, np.inf)]
    kind = np.uint64 if dtype.itemsize == 8 else np.uint32
    wild = fresh_rng().integers(0, np.iinfo(kind).max, 4096, kind, endpoint=True).view(dtype)
    return np.concatenate([halves, *around, wild])


@pytest.mark.parametrize("name", FLOAT8)
@pytest.mark.parametrize("wide", ["float16", "bfloat16", "float32", "float64"])
def test_conversions(name, wide):
    narrow, other = numpy_of(name), tw.dtypes.by_name(wide).numpy
    codes = CODES.view(narrow)
    values = sources(wide)
    with np.errstate(all="ignore"):
        assert same(np.asarray(tw.jit(lambda x: x.astype(wide))(codes)), codes.astype(other))
        expected = values.astype(narrow)
        # Between half-precision types NumPy goes by way of float32, which holds all of them.
        assert same(np.asarray(tw.jit(lambda x: x.astype(name))(values)), expected)


@pytest.mark.parametrize("name", FLOAT8)
def test_conversions_between_kinds_and_to_integers(name):
    codes = CODES.view(numpy_of(name))
    other = FLOAT8[1 - FLOAT8.index(name)]
    to_other, to_int, to_bool, from_int = tw.jit(
        lambda x, i: (x.astype(other), x.astype("int32"), x.astype("bool"), i.astype(name))
    )(codes, np.arange(-128, 128, dtype=np.int32))
    wide = codes.astype(np.float32)
    with np.errstate(all="ignore"):
        assert same(np.asarray(to_other), wide.astype(numpy_of(other)))
    most = np.iinfo(np.int32)
    clipped = np.nan_to_num(wide.astype(np.float64), nan=0.0, posinf=most.max, neginf=most.min)
    assert np.array_equal(to_int, np.trunc(clipped).astype(np.int32))
    assert np.array_equal(to_bool, wide != 0)
    assert same(np.asarray(from_int), np.arange(-128, 128).astype(np.float32).astype(numpy_of(name)))


@pytest.mark.parametrize("name", FLOAT8)
def test_moves_keep_bytes(name):
    x = CODES.view(numpy_of(name)).reshape(16, 16)

    def moves(x, i):
        turned = tw.concat([tw.transpose(x)[2:, ::3], x[:14, :6]], axis=1)
        return turned, tw.take(x, i, axis=0), tw.where(tw.iota((16, 16), 1) > 7, x, tw.flip(x, axis=1))

    found = tw.jit(moves)(x, np.array([3, 1, 3]))
    swapped = np.where(np.arange(16) > 7, x.view(np.uint8), x.view(np.uint8)[:, ::-1])
    expected = [np.concatenate([x.T[2:, ::3], x[:14, :6]], 1), x[[3, 1, 3]], swapped]
    for each, right in zip(found, expected, strict=True):
        assert np.array_equal(np.asarray(each).view(np.uint8), right.view(np.uint8))


REFUSED = {
    "add": lambda x: x + x,
    "scale": lambda x: x * 2.0,
    "exp": lambda x: tw.exp(x),
    "sum": lambda x: tw.sum(x),
    "compare": lambda x: x < x,
    "softmax": lambda x: tw.softmax(x),
    "mixed product": lambda x: x @ x.astype("bfloat16"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_arithmetic_is_refused(name):
    with pytest.raises(tw.errors.DTypeError, match="float8_e4m3fn"):
        tw.jit(REFUSED[name]).trace(tw.spec((4, 4), "float8_e4m3fn"))


def factors(shapes, kinds):
    rng = fresh_rng()
    return [rng.standard_normal(s).astype(numpy_of(kind)) for s, kind in zip(shapes, kinds, strict=True)]


def close(found, a, b, dtype="float32"):
    """Against float64: products are exact, k sums in float32, one rounding of the result."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    step = {"float32": 2.0**-23, "bfloat16": 2.0**-8}[dtype]
    bound = (4 * step + a.shape[1] * 2.0**-24) * (np.abs(a) @ np.abs(b))
    return found.dtype == tw.dtypes.by_name(dtype).numpy and np.all(
        np.abs(found.astype(np.float64) - a @ b) <= bound
    )


KINDS = [(FLOAT8[0], FLOAT8[0]), (FLOAT8[1], FLOAT8[1]), (FLOAT8[0], FLOAT8[1])]


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
@pytest.mark.parametrize("shape", [(1, 64, 33), (7, 40, 96), (65, 128, 48), (3, 0, 5)])
def test_products(kinds, shape):
    m, k, n = shape
    a, b = factors([(m, k), (n, k)], kinds)
    assert close(np.asarray(tw.jit(lambda a, b: a @ b.T)(a, b)), a, b.T)
    assert close(np.asarray(tw.jit(lambda a, b: a @ b)(a, np.ascontiguousarray(b.T))), a, b.T)


@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
def test_conversions_on_a_gpu(arch):
    x = CODES.view(numpy_of("float8_e4m3fn"))
    special = np.array([448.0, 464.0, 464.1, -1e9, np.nan], np.float32)
    y = np.concatenate([special, sources("float32")[::997][:251]])
    specs = [tw.spec((256,), "float8_e4m3fn"), tw.spec(y.shape, "float32")]

    def fn(x, y):
        return x.astype("float32"), y.astype("float8_e5m2"), y.astype("float8_e4m3fn")

    found = DeviceProgram(tw.jit(fn).trace(*specs).lower(f"cuda:{arch}"))(x, y)
    with np.errstate(all="ignore"):
        expected = [
            x.astype(np.float32),
            y.astype(numpy_of("float8_e5m2")),
            y.astype(numpy_of("float8_e4m3fn")),
        ]
    assert all(same(each, right) for each, right in zip(found, expected, strict=True))


@pytest.mark.parametrize("kinds", KINDS[:2], ids="-".join)
def test_products_by_warpgroups(kinds, monkeypatch):
    """Rows along the sum go to the tensor cores as they are; tiles are broken in all directions."""
    monkeypatch.setattr(select.Machine, "processors", property(lambda self: 1))
    a, b = factors([(136, 272), (200, 272)], kinds)
    specs = [tw.spec(x.shape, kind) for x, kind in zip((a, b), kinds, strict=True)]

    def fn(a, b):
        return tw.maximum(a @ b.T, -1.0).astype("bfloat16")

    program = DeviceProgram(tw.jit(fn).trace(*specs).lower("cuda:sm_90a"), 3)
    expected = np.maximum(a.astype(np.float64) @ b.astype(np.float64).T, -1.0)
    scale = np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64)).T
    (found,) = program(a, b)
    assert np.all(np.abs(found.astype(np.float64) - expected) <= (2.0**-6 + 272 * 2.0**-24) * scale)
    names = ".".join({FLOAT8[0]: "e4m3", FLOAT8[1]: "e5m2"}[kind] for kind in kinds)
    assert f"k32.f32.{names}" in program.text and len(program.launches) == 1


@pytest.mark.parametrize(("arch", "turned"), [("sm_80", True), ("sm_90a", False)])
def test_products_of_what_is_widened_first(arch, turned):
    """Where there is no instruction for factors of 8 bits, or none for how they lie."""
    a, b = factors([(70, 64), (72, 64)], KINDS[0])
    fn = (lambda a, b: a @ b.T) if turned else (lambda a, b: a @ b)
    b = b if turned else np.ascontiguousarray(b.T)
    specs = [tw.spec(a.shape, FLOAT8[0]), tw.spec(b.shape, FLOAT8[0])]
    program = DeviceProgram(tw.jit(fn).trace(*specs).lower(f"cuda:{arch}"))
    assert close(program(a, b)[0], a, b.T if turned else b)
    assert "mma.sync" in program.text
