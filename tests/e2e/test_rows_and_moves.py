"""Long reductions, reductions across rows, extrema with NaN, and transpositions: where chunks, squares and tails end."""

from __future__ import annotations

import numpy as np
import pytest
import tilewright as tw
from op_matrix import fresh_rng
from tilewright import runtime

LENGTHS = [1, 15, 16, 65535, 65536, 131071, 131072, 131079, 1000003]
PERMUTATIONS = [
    ((17, 33), (1, 0)),
    ((16, 16), (1, 0)),
    ((15, 64), (1, 0)),
    ((257, 130), (1, 0)),
    ((3, 40, 21), (0, 2, 1)),
    ((5, 18, 3, 35), (0, 2, 1, 3)),
    ((2, 19, 6, 48), (0, 1, 3, 2)),
    ((32, 3, 7, 20), (3, 2, 1, 0)),
    ((2, 3, 16, 5, 17), (4, 0, 2, 3, 1)),
]


@pytest.fixture
def rng():
    return fresh_rng()


@pytest.fixture
def threads():
    before = runtime.num_threads()
    yield runtime.set_num_threads
    runtime.set_num_threads(before)


def close(result, expected, scale):
    np.testing.assert_allclose(np.asarray(result, np.float64), expected, rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize("length", LENGTHS)
def test_total_of_a_long_array(length, rng):
    x = rng.standard_normal(length).astype(np.float32)
    wide = x.astype(np.float64)
    total = tw.jit(lambda x: (x.sum(), x.max(), (x * x).mean()))
    sums, largest, power = total(x)
    close(sums, wide.sum(), np.abs(wide).sum())
    assert largest == x.max()
    close(power, (wide * wide).mean(), 1 + (wide * wide).mean())


def test_total_of_a_size_known_at_run_time(rng):
    traced = tw.jit(lambda x: x.sum()).trace(tw.spec((tw.Dim("n", min=1),), "float32"))
    total = traced.lower().compile()
    for length in LENGTHS:
        x = rng.standard_normal(length).astype(np.float32)
        close(total(x), x.astype(np.float64).sum(), np.abs(x).sum())


@pytest.mark.parametrize(
    "shape", [(5000, 37), (300001, 3), (4096, 768), (70000, 1), (2, 200003), (3, 5, 40007)]
)
@pytest.mark.parametrize("axis", [0, -1])
def test_sums_along_either_end(shape, axis, rng):
    x = rng.standard_normal(shape).astype(np.float32)
    wide = x.astype(np.float64)
    close(tw.jit(lambda x: x.sum(axis=axis))(x), wide.sum(axis), np.abs(wide).sum(axis).max())
    np.testing.assert_array_equal(tw.jit(lambda x: x.max(axis=axis))(x), x.max(axis))


def test_integers_are_exact(rng):
    x = rng.integers(-(2**20), 2**20, 300007).astype(np.int32)
    assert tw.jit(lambda x: x.sum())(x) == x.sum()


def test_bits_do_not_depend_on_threads(rng, threads):
    x = rng.standard_normal((1031, 773)).astype(np.float32)
    program = tw.jit(lambda x: (x.sum(), x.sum(axis=0), tw.nn.softmax(x, axis=-1), x.T, x.var()))
    results = []
    for count in (1, 2, 3):
        threads(count)
        results.append([np.asarray(r).tobytes() for r in program(x)])
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("length", [1, 7, 16, 40, 64, 65, 100, 769, 5000, 140000])
def test_extrema_see_every_nan(length, rng):
    largest, smallest = tw.jit(lambda x: x.max(axis=-1)), tw.jit(lambda x: x.min(axis=-1))
    x = rng.standard_normal((20, length)).astype(np.float32)
    x[1] = -np.inf
    x[2] = np.inf
    for row in range(3, 20):
        x[row, rng.integers(length)] = np.nan
    np.testing.assert_array_equal(largest(x), x.max(-1))
    np.testing.assert_array_equal(smallest(x), x.min(-1))


def test_softmax_of_rows_with_nan_and_infinities(rng):
    x = rng.standard_normal((6, 83)).astype(np.float32) * 30
    x[1, 5] = np.nan
    x[2, 7:] = -np.inf
    x[3] = -np.inf
    x[4, 0] = np.inf
    result = tw.jit(lambda x: tw.nn.softmax(x, axis=-1))(x)
    with np.errstate(invalid="ignore"):
        e = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
    np.testing.assert_allclose(result, e / e.sum(-1, keepdims=True), rtol=2e-5, atol=1e-30)


def softmax_rows(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def overlaps(program, *arguments):
    return "tw.overlap" in program.lower(*arguments).as_text("buffers")


# Tasks take some rows each: one row, fewer than there are walks, one more than a task has, many. Lengths end in whole
# steps of the walks, one vector behind them, and in masked tails.
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(
    "shape", [(0, 768), (1, 768), (3, 769), (5, 1531), (21, 784), (23, 601), (2, 3, 1100), (3, 7, 577)]
)
def test_walks_along_different_rows_overlap(shape, dtype, rng):
    """Softmax, log_softmax and a norm of exponentials, with what later walks need of the first one."""
    x = rng.standard_normal(shape).astype(tw.dtypes.of(dtype).numpy)
    wide = x.astype(np.float64)

    def programs(x):
        e = tw.exp(x - x.mean(axis=-1, keepdims=True))
        norm = (e - e.mean(axis=-1, keepdims=True)) * tw.rsqrt(e.var(axis=-1, keepdims=True) + 1e-5)
        return tw.nn.softmax(x, axis=-1), tw.nn.log_softmax(x, axis=-1), norm

    if not wide.size:
        assert all(r.shape == shape for r in tw.jit(programs)(x))
        return
    softmax, log_softmax, norm = tw.jit(programs)(x)
    eps = 2e-6 if dtype == "float32" else 4e-3 if dtype == "float16" else 3e-2
    expected = softmax_rows(wide)
    np.testing.assert_allclose(softmax.astype(np.float64), expected, rtol=10 * eps, atol=1e-7)
    np.testing.assert_allclose(log_softmax.astype(np.float64), np.log(expected), rtol=eps, atol=eps)
    if dtype == "float32":
        e = np.exp(wide - wide.mean(-1, keepdims=True))
        e -= e.mean(-1, keepdims=True)
        np.testing.assert_allclose(norm, e / np.sqrt((e * e).mean(-1, keepdims=True) + 1e-5), atol=2e-5)


def test_a_row_is_the_same_wherever_it_is(rng, threads):
    """Alone, first, last or between others, and on any number of threads: the same bits."""
    program = tw.jit(lambda x: tw.nn.softmax(x, axis=-1))
    x = rng.standard_normal((67, 777), dtype=np.float32)
    assert overlaps(program, x)
    expected = program(x)
    for count in (1, 2, 3):
        threads(count)
        np.testing.assert_array_equal(program(x), expected)
    for first, last in ((0, 1), (1, 3), (20, 23), (64, 67), (5, 27)):
        np.testing.assert_array_equal(program(np.ascontiguousarray(x[first:last])), expected[first:last])


def test_overlapping_rows_with_masks_nan_and_infinities(rng):
    x = rng.standard_normal((45, 1003)).astype(np.float32) * 30
    x[1, 5], x[22, 1002], x[44, 0] = np.nan, np.nan, np.nan
    x[7, 3:], x[8], x[30, 0] = -np.inf, -np.inf, np.inf
    visible = rng.random(x.shape) < 0.3
    visible[:, 0] = True
    program = tw.jit(lambda x, visible: tw.nn.softmax(tw.where(visible, x, float("-inf")), axis=-1))
    with np.errstate(invalid="ignore"):
        for mask in (visible, np.ones_like(visible)):
            expected = softmax_rows(np.where(mask, x.astype(np.float64), -np.inf))
            np.testing.assert_allclose(program(x, mask), expected, rtol=2e-5, atol=1e-30)


def test_overlapping_rows_may_go_where_they_came_from(rng):
    x = rng.standard_normal((45, 800), dtype=np.float32)
    program = tw.jit(lambda x: tw.nn.softmax(x, axis=-1) + x, donate_argnums=0)
    np.testing.assert_allclose(program(x.copy()), softmax_rows(x.astype(np.float64)) + x, atol=1e-6)


def test_overlapping_rows_of_a_number_known_at_run_time(rng):
    traced = tw.jit(lambda x: tw.nn.softmax(x, axis=-1)).trace(tw.spec((tw.Dim("n", min=0), 640), "float32"))
    program = traced.lower().compile()
    for rows in (0, 1, 2, 3, 50):
        x = rng.standard_normal((rows, 640), dtype=np.float32)
        expected = softmax_rows(x.astype(np.float64)) if rows else x
        np.testing.assert_allclose(program(x), expected, rtol=2e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int8, np.int64, np.bool_])
@pytest.mark.parametrize(("shape", "permutation"), PERMUTATIONS)
def test_transposition(shape, permutation, dtype, rng):
    x = rng.integers(0, 2 if dtype is np.bool_ else 100, shape).astype(dtype)
    result = tw.jit(lambda x: tw.transpose(x, permutation))(x)
    np.testing.assert_array_equal(result, x.transpose(permutation))


@pytest.mark.parametrize("shape", [(64, 64), (33, 47), (257, 300)])
def test_transposed_operand_of_a_chain(shape, rng):
    x, y = rng.standard_normal(shape).astype(np.float32), rng.standard_normal(shape[::-1]).astype(np.float32)
    result = tw.jit(lambda x, y: x.T * 2.0 + y)(x, y)
    np.testing.assert_allclose(result, x.T * np.float32(2) + y, rtol=3e-7, atol=1e-6)


def causal_attention(q, k, v):
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    k, v = (np.repeat(x, q.shape[1] // k.shape[1], axis=1) for x in (k, v))
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    rows, columns = scores.shape[-2:]
    scores[..., np.arange(columns) > np.arange(rows)[:, None] + columns - rows] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ v


@pytest.fixture(scope="module")
def attention():
    s, t = tw.Dim("s", max=2048), tw.Dim("t", max=2048)
    function = tw.jit(lambda q, k, v: tw.nn.attention(q, k, v, causal=True))
    shapes = [(1, 6, s, 16), (1, 3, t, 16), (1, 3, t, 16)]
    return function, function.lower(*(tw.spec(shape, "float32") for shape in shapes)).compile()


# Tiles of 8 rows end at multiples of 32 columns: sizes at, before and behind both, and more columns than rows.
@pytest.mark.parametrize(
    "sizes", [(1, 1), (1, 7), (7, 7), (8, 8), (9, 33), (31, 31), (32, 64), (33, 33), (65, 100), (3, 500)]
)
def test_causal_tiles_end_behind_their_last_row(attention, sizes, rng):
    rows, columns = sizes
    q = rng.standard_normal((1, 6, rows, 16)).astype(np.float32)
    k, v = rng.standard_normal((2, 1, 3, columns, 16)).astype(np.float32)
    for run in attention:
        np.testing.assert_allclose(run(q, k, v), causal_attention(q, k, v), atol=3e-6)


def test_a_mask_hides_no_nan_of_what_is_subtracted(rng):
    """-inf minus -inf is NaN, also behind the bound of a causal tile."""
    q, k = (rng.standard_normal(shape).astype(np.float32) for shape in ((64, 32), (32, 512)))
    u = np.zeros(512, np.float32)
    u[300:] = -np.inf

    def program(q, k, u):
        visible = tw.iota((64, 512), 1) <= tw.iota((64, 512), 0)
        scores = tw.where(visible, q @ k, float("-inf"))
        return tw.exp(scores - u).sum(axis=-1) + scores.max(axis=-1) * 0

    assert np.isnan(tw.jit(program)(q, k, u)).all()
