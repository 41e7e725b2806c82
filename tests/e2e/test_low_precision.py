"""Products of bfloat16 and of bytes against float64 and exact integers, on sizes around groups, panels and tiles."""

import zlib

import ml_dtypes
import numpy as np
import pytest
import tilewright as tw

#: Rows, columns, summed dimension: empty, one, odd, prime, below and above 2 and 4, 16 and 32.
SIZES = [
    (0, 5, 7),
    (5, 0, 7),
    (5, 7, 0),
    (1, 1, 1),
    (1, 64, 64),
    (2, 3, 5),
    (16, 1, 1),
    (17, 31, 29),
    (16, 32, 64),
    (33, 65, 127),
    (97, 101, 103),
    (40, 36, 34),
]


@pytest.fixture
def rng(request):
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


def bfloat16(rng, *shape):
    return rng.standard_normal(shape).astype(ml_dtypes.bfloat16)


def close(got, a, b, unit):
    """Each sum within `unit` of the sum of its magnitudes: the bound of one rounding each for terms and result."""
    exact = a.astype(np.float64) @ b.astype(np.float64)
    scale = np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64))
    assert np.all(np.abs(got.astype(np.float64) - exact) <= unit * scale)


@pytest.mark.parametrize("m, n, k", SIZES)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("bound", [False, True])
def test_bfloat16(rng, m, n, k, transposed, bound):
    a, b = bfloat16(rng, m, k), bfloat16(rng, k, n)
    stored = np.ascontiguousarray(b.T) if transposed else b

    def product(w, x):
        return tw.dot_general(
            x, w, lhs_contract=(1,), rhs_contract=(1 if transposed else 0,), dtype="float32"
        )

    if bound:
        lowered = tw.jit(product, weight_argnums=0).lower(
            tw.spec(stored.shape, "bfloat16"), tw.spec(a.shape, "bfloat16")
        )
        got = lowered.compile().bind(stored)(a)
    else:
        got = tw.jit(product)(stored, a)
    close(got, a, b, 2**-23 * max(k, 1))


@pytest.mark.parametrize("m, n, k", SIZES)
@pytest.mark.parametrize("bound", [False, True])
@pytest.mark.parametrize("extreme", [False, True])
def test_bytes_are_exact(rng, m, n, k, bound, extreme):
    def bytes_(*shape):
        if extreme:
            return rng.choice(np.array([-128, 127], np.int8), shape)
        return rng.integers(-128, 128, shape, dtype=np.int8)

    x, y = bytes_(m, k), bytes_(k, n)

    def product(w, x):
        return tw.dot_general(x, w, lhs_contract=(1,), rhs_contract=(0,), dtype="int32")

    if bound:
        specs = tw.spec(y.shape, "int8"), tw.spec(x.shape, "int8")
        got = tw.jit(product, weight_argnums=0).lower(*specs).compile().bind(y)(x)
    else:
        got = tw.jit(product)(y, x)
    np.testing.assert_array_equal(got, x.astype(np.int64) @ y.astype(np.int64))


@pytest.mark.parametrize("sizes", [(3, 17, 33, 20), (2, 32, 40, 64), (2, 32, 16, 31)])
def test_batches(rng, sizes):
    batch, m, n, k = sizes
    axes = {"lhs_batch": (0,), "rhs_batch": (0,), "lhs_contract": (2,), "rhs_contract": (1,)}
    a, b = bfloat16(rng, batch, m, k), bfloat16(rng, batch, k, n)
    close(tw.jit(lambda a, b: tw.dot_general(a, b, dtype="float32", **axes))(a, b), a, b, 2**-23 * k)
    x = rng.integers(-128, 128, (batch, m, k), dtype=np.int8)
    y = rng.integers(-128, 128, (batch, k, n), dtype=np.int8)
    got = tw.jit(lambda x, y: tw.dot_general(x, y, dtype="int32", **axes))(x, y)
    np.testing.assert_array_equal(got, x.astype(np.int64) @ y.astype(np.int64))


def test_sizes_that_change(rng):
    product = tw.jit(lambda a, b: tw.dot_general(a, b, lhs_contract=(1,), rhs_contract=(0,), dtype="float32"))
    for m, n, k in ((16, 64, 64), (16, 96, 64), (17, 96, 63), (40, 33, 65)):
        a, b = bfloat16(rng, m, k), bfloat16(rng, k, n)
        close(product(a, b), a, b, 2**-23 * k)


def test_rows_in_columns(rng):
    a, b = bfloat16(rng, 66, 33), bfloat16(rng, 66, 64)
    got = tw.jit(lambda a, b: a.T @ b)(a, b)
    close(got, a.T, b, 2**-8)


def test_a_table_that_is_also_the_output_matrix(rng):
    """Elements are picked from words by number; the same words are multiplied."""
    table, rows = bfloat16(rng, 70, 34), np.array([0, 69, 33, 33], np.int32)
    lowered = tw.jit(
        lambda w, i: (tw.gather(w, i, axis=0), tw.gather(w, i, axis=0) @ w.T), weight_argnums=0
    ).lower(tw.spec(table.shape, "bfloat16"), tw.spec(rows.shape, "int32"))
    picked, products = lowered.compile().bind(table)(rows)
    np.testing.assert_array_equal(picked, table[rows])
    close(products, table[rows], table.T, 2**-8)
