"""Products of matrices where tiles, tasks and copies of operands end."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import tilewright as tw
from op_matrix import fresh_rng
from tilewright import runtime

#: Rows, summed elements, columns: below, at and beyond register tiles, tasks and what is packed.
SHAPES = [
    (1, 7, 1),
    (25, 1, 129),
    (37, 3, 160),
    (203, 146, 187),
    (97, 33, 130),
    (389, 257, 131),
    (210, 129, 40),
    (1009, 5, 161),
    (36, 4, 4099),
    (0, 5, 200),
    (50, 0, 200),
]


@pytest.fixture
def rng():
    return fresh_rng()


@pytest.fixture
def threads():
    before = runtime.num_threads()
    yield runtime.set_num_threads
    runtime.set_num_threads(before)


def draw(rng, *shape, dtype="float32"):
    return rng.standard_normal(shape, dtype=np.float64).astype(dtype)


def check(result, a, b, epsilon=2.0**-23):
    exact = a.astype(np.float64) @ b.astype(np.float64)
    bound = (2 + a.shape[-1]) * epsilon * (np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64))
    assert result.shape == exact.shape
    assert (np.abs(result - exact) <= bound).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_product(shape, rng):
    m, k, n = shape
    a, b = draw(rng, m, k), draw(rng, k, n)
    check(tw.jit(lambda a, b: a @ b)(a, b), a, b)


def test_product_of_float64(rng):
    a, b = draw(rng, 101, 77, dtype="float64"), draw(rng, 77, 203, dtype="float64")
    check(tw.jit(lambda a, b: a @ b)(a, b), a, b, 2.0**-52)


def test_batches_of_products(rng):
    a, b = draw(rng, 3, 53, 19), draw(rng, 3, 19, 150)
    result = tw.jit(lambda a, b: tw.matmul(a, b))(a, b)
    for i in range(3):
        check(result[i], a[i], b[i])


def test_sizes_known_at_run_time(rng):
    product = tw.jit(lambda a, b: a @ b, dynamic=True)
    for m, k, n in SHAPES:
        a, b = draw(rng, m, k), draw(rng, k, n)
        check(product(a, b), a, b)


def test_epilogue_behind_a_packed_operand(rng):
    a, b, c = draw(rng, 75, 61), draw(rng, 61, 259), draw(rng, 259)
    result = tw.jit(lambda a, b, c: tw.relu(a @ b + c))(a, b, c)
    exact = np.maximum(a.astype(np.float64) @ b + c, 0)
    np.testing.assert_allclose(result, exact, rtol=0, atol=1e-5 * np.abs(exact).max())


def test_bits_do_not_depend_on_threads(rng, threads):
    product = tw.jit(lambda a, b: a @ b)
    a, b = draw(rng, 203, 301), draw(rng, 301, 387)
    results = []
    for count in (1, 2, 3):
        threads(count)
        results.append(product(a, b).tobytes())
    assert results[0] == results[1] == results[2]


def test_explain_says_what_is_packed():
    a, b = np.zeros((100, 30), np.float32), np.zeros((30, 300), np.float32)
    assert "operand 1 packed by each task" in tw.jit(lambda a, b: a @ b).lower(a, b).compile().explain()
    few = tw.jit(lambda a, b: a @ b).lower(a[:8], b).compile().explain()
    assert "packed by each task" not in few


@pytest.mark.parametrize("dtype, columns, depth", [("float32", 4227, 1031), ("bfloat16", 8209, 1027)])
@pytest.mark.parametrize("turned", [False, True])
def test_large_weights_with_a_part_of_a_panel(rng, dtype, columns, depth, turned):
    """More than 16 MB: only the last columns are padded before they are packed."""
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float32
    x = draw(rng, 3, depth, dtype=kind)
    w = draw(rng, *((columns, depth) if turned else (depth, columns)), dtype=kind)
    product = tw.jit(
        lambda w, x: tw.dot_general(
            x, w, lhs_contract=(1,), rhs_contract=(1 if turned else 0,), dtype="float32"
        ),
        weight_argnums=0,
    )
    program = product.lower(tw.spec(w.shape, dtype), tw.spec(x.shape, dtype)).compile().bind(w)
    exact = x.astype(np.float64) @ (w.T if turned else w).astype(np.float64)
    np.testing.assert_allclose(program(x), exact, rtol=1e-4, atol=2e-3)
