"""Products of bfloat16 and of bytes against float64 and exact integers, on sizes around groups, panels and tiles.

All of them run on this machine's CPU and on one without instructions for groups of products.
"""

import ml_dtypes
import numpy as np
import pytest
import tilewright as tw
from op_matrix import fresh_rng
from tilewright.targets.cpu.target import CpuTarget

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
def rng():
    return fresh_rng()


def bfloat16(rng, *shape):
    return rng.standard_normal(shape).astype(ml_dtypes.bfloat16)


def bytes_(rng, *shape, extreme=False):
    if extreme:
        return rng.choice(np.array([-128, 127], np.int8), shape)
    return rng.integers(-128, 128, shape, dtype=np.int8)


def close(got, a, b, unit):
    """Each sum within `unit` of the sum of its magnitudes: the bound of one rounding each for terms and result."""
    exact = a.astype(np.float64) @ b.astype(np.float64)
    scale = np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64))
    assert np.all(np.abs(got.astype(np.float64) - exact) <= unit * scale)


def exact(got, x, y):
    np.testing.assert_array_equal(got, x.astype(np.int64) @ y.astype(np.int64))


def call(jit, product, w, x, bound):
    """`product(w, x)`, with `w` as a weight that is packed ahead, or as an argument that the call packs."""
    if not bound:
        return jit(product)(w, x)
    specs = tw.spec(w.shape, str(w.dtype)), tw.spec(x.shape, str(x.dtype))
    return jit(product, weight_argnums=0).lower(*specs).compile().bind(w)(x)


def product_of(left, right, dtype):
    return lambda w, x: tw.dot_general(x, w, lhs_contract=(left,), rhs_contract=(right,), dtype=dtype)


@pytest.mark.parametrize("m, n, k", SIZES)
@pytest.mark.parametrize("bound", [False, True])
def test_bfloat16(jit, rng, m, n, k, bound):
    a, b = bfloat16(rng, m, k), bfloat16(rng, k, n)
    close(call(jit, product_of(1, 0, "float32"), b, a, bound), a, b, 2**-23 * max(k, 1))


@pytest.mark.parametrize("m, n, k", SIZES)
@pytest.mark.parametrize("bound", [False, True])
@pytest.mark.parametrize("extreme", [False, True])
def test_bytes_are_exact(jit, rng, m, n, k, bound, extreme):
    x, y = bytes_(rng, m, k, extreme=extreme), bytes_(rng, k, n, extreme=extreme)
    exact(call(jit, product_of(1, 0, "int32"), y, x, bound), x, y)


@pytest.mark.parametrize("left, right", [(1, 1), (0, 0), (0, 1)])
@pytest.mark.parametrize("bound", [False, True])
@pytest.mark.parametrize("m, n, k", [(33, 65, 127), (40, 36, 34), (3, 64, 66), (17, 31, 1)])
def test_transposes(jit, rng, left, right, bound, m, n, k):
    def stored(matrix, transposed):
        return np.ascontiguousarray(matrix.T) if transposed else matrix

    a, b = bfloat16(rng, m, k), bfloat16(rng, k, n)
    x, y = bytes_(rng, m, k), bytes_(rng, k, n)
    operands = stored(b, right == 1), stored(a, left == 0)
    close(call(jit, product_of(left, right, "float32"), *operands, bound), a, b, 2**-23 * k)
    operands = stored(y, right == 1), stored(x, left == 0)
    exact(call(jit, product_of(left, right, "int32"), *operands, bound), x, y)


@pytest.mark.parametrize("sizes", [(3, 17, 33, 20), (2, 32, 40, 64), (2, 32, 16, 31), (0, 16, 16, 16)])
def test_batches(jit, rng, sizes):
    batch, m, n, k = sizes
    axes = {"lhs_batch": (0,), "rhs_batch": (0,), "lhs_contract": (2,), "rhs_contract": (1,)}
    a, b = bfloat16(rng, batch, m, k), bfloat16(rng, batch, k, n)
    close(jit(lambda a, b: tw.dot_general(a, b, dtype="float32", **axes))(a, b), a, b, 2**-23 * k)
    x, y = bytes_(rng, batch, m, k), bytes_(rng, batch, k, n)
    exact(jit(lambda x, y: tw.dot_general(x, y, dtype="int32", **axes))(x, y), x, y)


def test_rows_of_several_axes(jit, rng):
    """A layer on [B, S, K]: the rows have two axes, the weight none of them."""
    a, b = bfloat16(rng, 3, 7, 50), bfloat16(rng, 50, 40)
    product = product_of(2, 0, "float32")
    for bound in (False, True):
        close(call(jit, product, b, a, bound), a, b, 2**-23 * 50)
    x, y = bytes_(rng, 3, 7, 50), bytes_(rng, 50, 40)
    for bound in (False, True):
        exact(call(jit, product_of(2, 0, "int32"), y, x, bound), x, y)


def test_sizes_that_change(jit, rng):
    real, whole = jit(product_of(1, 0, "float32")), jit(product_of(1, 0, "int32"))
    for m, n, k in ((16, 64, 64), (16, 96, 64), (17, 96, 63), (40, 33, 65), (0, 33, 65), (1, 1, 1)):
        a, b = bfloat16(rng, m, k), bfloat16(rng, k, n)
        close(real(b, a), a, b, 2**-23 * k)
        x, y = bytes_(rng, m, k), bytes_(rng, k, n)
        exact(whole(y, x), x, y)


def test_rows_that_change(jit, rng):
    """Weights and the summed dimension are known, the number of rows is not."""
    b, y = bfloat16(rng, 66, 40), bytes_(rng, 66, 40)
    real, whole = (
        jit(product_of(1, 0, "float32"), weight_argnums=0),
        jit(product_of(1, 0, "int32"), weight_argnums=0),
    )
    for m in (5, 33, 1, 64, 0):
        a, x = bfloat16(rng, m, 66), bytes_(rng, m, 66)
        close(real(b, a), a, b, 2**-23 * 66)
        exact(whole(y, x), x, y)


def test_sums_wrap(jit):
    """Beyond 32 bits the sum is taken modulo 2^32, as NumPy's is."""
    x, y = np.full((2, 140_000), -128, np.int8), np.full((140_000, 3), -128, np.int8)
    expected = np.full((2, 3), 140_000 * 2**14, np.int64).astype(np.int32)
    np.testing.assert_array_equal(call(jit, product_of(1, 0, "int32"), y, x, True), expected)


def test_unsigned_bytes(jit, rng):
    x = rng.integers(0, 256, (33, 70), dtype=np.uint8)
    y = rng.integers(0, 256, (70, 40), dtype=np.uint8)
    for bound in (False, True):
        exact(call(jit, product_of(1, 0, "uint32"), y, x, bound), x, y)


def test_bytes_that_stay_bytes(jit, rng):
    """The result of `x @ y` is int8 and wraps."""
    x, y = bytes_(rng, 20, 35), bytes_(rng, 35, 33)
    expected = (x.astype(np.int64) @ y.astype(np.int64)).astype(np.int8)
    np.testing.assert_array_equal(jit(lambda x, y: x @ y)(x, y), expected)


def test_rows_in_columns(jit, rng):
    a, b = bfloat16(rng, 66, 33), bfloat16(rng, 66, 64)
    close(jit(lambda a, b: a.T @ b)(a, b), a.T, b, 2**-8)


def test_infinities_and_nan(jit, rng):
    a, b = bfloat16(rng, 18, 40), bfloat16(rng, 40, 35)
    a[2, 3], a[5, 7], b[4, 6] = np.inf, np.nan, -np.inf
    with np.errstate(invalid="ignore"):
        expected = a.astype(np.float64) @ b.astype(np.float64)
    for bound in (False, True):
        got = call(jit, product_of(1, 0, "float32"), b, a, bound).astype(np.float64)
        for test in (np.isnan, np.isposinf, np.isneginf):
            np.testing.assert_array_equal(test(got), test(expected))


def test_an_epilogue_on_the_sums(jit, rng):
    """Sums of bytes, scaled, biased and cut off in the same kernel."""
    x, y, bias = bytes_(rng, 33, 65), bytes_(rng, 65, 50), rng.standard_normal(50, dtype=np.float32)

    def layer(w, x, bias):
        return tw.maximum(product_of(1, 0, "int32")(w, x).astype("float32") * 0.0078125 + bias, 0.0)

    expected = np.maximum((x.astype(np.int64) @ y.astype(np.int64)) * 0.0078125 + bias.astype(np.float64), 0)
    np.testing.assert_allclose(jit(layer)(y, x, bias), expected, rtol=2e-6, atol=1e-4)


def test_a_table_that_is_also_the_output_matrix(jit, rng):
    """Elements are picked from words by number; the same words are multiplied."""
    table, rows = bfloat16(rng, 70, 34), np.array([0, 69, 33, 33], np.int32)
    lowered = jit(
        lambda w, i: (tw.gather(w, i, axis=0), tw.gather(w, i, axis=0) @ w.T), weight_argnums=0
    ).lower(tw.spec(table.shape, "bfloat16"), tw.spec(rows.shape, "int32"))
    picked, products = lowered.compile().bind(table)(rows)
    np.testing.assert_array_equal(picked, table[rows])
    close(products, table[rows], table.T, 2**-8)


@pytest.mark.parametrize(
    "feature, dtype, result, name",
    [("avx512bf16", "bfloat16", "float32", "vdpbf16ps"), ("avx512vnni", "int8", "int32", "vpdpbusd")],
)
def test_the_instruction_is_used(feature, dtype, result, name):
    if not {f"+{feature}", "+avx512vl"} <= set(CpuTarget().features.split(",")):
        pytest.skip(f"no {feature} here")
    lowered = tw.jit(product_of(1, 0, result)).lower(tw.spec((64, 64), dtype), tw.spec((64, 64), dtype))
    assert name in lowered.as_text("object")
