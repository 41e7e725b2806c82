"""cumsum and cumprod in vectors: along rows and across them, where vectors and tasks end, and with open sizes."""

from __future__ import annotations

import numpy as np
import pytest
import tilewright as tw
from op_matrix import fresh_rng
from tilewright import runtime

SHAPES = [
    (1,),
    (15,),
    (16,),
    (17,),
    (257,),
    (100003,),
    (3, 64),
    (129, 31),
    (70, 1000),
    (2, 37, 5),
    (4, 3, 333),
    (0, 7),
    (7, 0),
]


@pytest.fixture
def rng():
    return fresh_rng()


def axes():
    return [(shape, axis) for shape in SHAPES for axis in range(len(shape))]


def by_dims(fn, x):
    """Compile with every size open, and call."""
    spec = tw.spec(tuple(tw.Dim(f"n{i}", min=0) for i in range(x.ndim)), str(x.dtype))
    return tw.jit(fn).trace(spec).lower().compile()(x)


def check_sums(result, x, axis):
    """No total is further off than one addition after the other may be: n eps times the sum of magnitudes, or 2e-6."""
    wide = x.astype(np.float64)
    bound = min(max(x.shape[axis], 1) * 2.0**-24, 2e-6) * (np.cumsum(np.abs(wide), axis=axis) + 1e-30)
    assert (np.abs(result - np.cumsum(wide, axis=axis)) <= bound + 2.0**-24 * np.abs(result)).all()


@pytest.mark.parametrize(("shape", "axis"), axes())
def test_sums_of_floats(shape, axis, rng):
    x = rng.standard_normal(shape).astype(np.float32)

    def run(x):
        return tw.cumsum(x, axis=axis)

    result = tw.jit(run)(x)
    check_sums(result, x, axis)
    np.testing.assert_array_equal(by_dims(run, x), result)


@pytest.mark.parametrize(("shape", "axis"), axes())
def test_integers_are_exact(shape, axis, rng):
    for dtype in (np.int32, np.int64, np.uint8):
        x = rng.integers(0, 100, shape).astype(dtype)
        sums, products = tw.jit(
            lambda x: (tw.cumsum(x, axis=axis, dtype=x.dtype), tw.cumprod(x, axis=axis, dtype=x.dtype))
        )(x)
        np.testing.assert_array_equal(sums, np.cumsum(x, axis=axis, dtype=dtype))
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(products, np.cumprod(x, axis=axis, dtype=dtype))


@pytest.mark.parametrize("axis", [0, 1])
def test_products_go_in_order(axis, rng):
    """Neighbours whose product overflows, or underflows, after a total that makes up for it."""
    x = np.exp(rng.standard_normal((37, 45))).astype(np.float32)
    x[3, 4:8], x[5, 2:7] = [1e-30, 1e25, 1e20, 1e-20], [0, 1e30, 1e30, 1e30, 2]
    x[10, 20:24] = [1e30, 1e-25, 1e-22, 1e15]
    x = x if axis == 1 else np.ascontiguousarray(x.T)
    np.testing.assert_array_equal(
        tw.jit(lambda x: tw.cumprod(x, axis=axis))(x), np.cumprod(x, axis=axis, dtype=np.float32)
    )


@pytest.mark.parametrize("axis", [0, 1])
def test_no_number_stays_in_its_row(axis):
    x = np.ones((5, 70), np.float32)
    x[1, 20], x[2, 33], x[3, 1], x[3, 69] = np.nan, np.inf, np.inf, -np.inf
    x = x if axis == 1 else np.ascontiguousarray(x.T)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(tw.jit(lambda x: tw.cumsum(x, axis=axis))(x), np.cumsum(x, axis=axis))


@pytest.mark.parametrize("axis", [0, 1])
def test_bits_do_not_depend_on_threads(axis, rng):
    x = rng.standard_normal((515, 771)).astype(np.float32)
    run, before, results = tw.jit(lambda x: tw.cumsum(x, axis=axis)), runtime.num_threads(), []
    try:
        for count in (1, 2, 3):
            runtime.set_num_threads(count)
            results.append(run(x).copy())
    finally:
        runtime.set_num_threads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_what_feeds_a_total_and_what_reads_it(rng):
    x = rng.standard_normal((40, 100)).astype(np.float32)
    result = tw.jit(lambda x: tw.cumsum(tw.exp(x) * 0.5, axis=1) / tw.cumsum(x * x + 1, axis=0))(x)
    wide = x.astype(np.float64)
    expected = np.cumsum(np.exp(wide) * 0.5, axis=1) / np.cumsum(wide * wide + 1, axis=0)
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_half_precision_adds_up_in_float32(rng):
    x = rng.random((3, 500)).astype(np.float16)
    result = tw.jit(lambda x: tw.cumsum(x, axis=1, dtype=x.dtype))(x)
    np.testing.assert_allclose(result, np.cumsum(x.astype(np.float64), axis=1), rtol=2.0**-11 + 1e-6)
