"""Target cuda: attention is one kernel that keeps no scores; run in the PTX interpreter in every warp order."""

from __future__ import annotations

import numpy as np
import pytest
import tilewright as tw
from cuda_attention import attention, large_equal_scores, specs_of
from cuda_device import DeviceProgram
from op_matrix import fresh_rng

ARCH = "cuda:sm_80"


#: Shapes of q, k and v (whose last size may differ), causal, mask: whole and broken tiles, heads that share keys, more keys
#: than queries and fewer.
CASES = [
    ((1, 2, 64, 64), (1, 2, 64, 64), 64, False, False),
    ((1, 2, 100, 64), (1, 2, 100, 64), 64, True, False),
    ((2, 4, 40, 32), (2, 2, 150, 32), 32, True, False),
    ((1, 1, 130, 128), (1, 1, 130, 128), 128, True, False),
    ((1, 2, 70, 48), (1, 2, 33, 48), 80, False, False),
    ((1, 2, 70, 16), (1, 1, 90, 16), 16, False, True),
]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_one_launch(number):
    q, k, columns, causal, mask = CASES[number]
    dtype = ("bfloat16", "float16")[number % 2]
    rng = fresh_rng()
    specs = specs_of(q, k, columns, dtype, mask)

    def fn(q, k, v, *m):
        return tw.attention(q, k, v, *m, causal=causal)

    program = DeviceProgram(tw.jit(fn).trace(*specs).lower(ARCH), adversarial=int(rng.integers(1 << 30)))
    inputs = [rng.standard_normal(s.shape).astype(s.dtype.numpy) for s in specs]
    wide = [x.astype(np.float64) for x in inputs]
    expected = attention(*wide, causal=causal)
    (found,) = program(*inputs)
    step = 2.0 ** (-8 if dtype == "bfloat16" else -11)
    weight = attention(wide[0], wide[1], np.abs(wide[2]), *wide[3:], causal=causal)
    assert np.all(np.abs(found.astype(np.float64) - expected) <= 4 * step * weight)
    assert len(program.launches) == 1 and "mma.sync" in program.text
    assert np.array_equal(found, program(*inputs)[0]), "the same bits in any order of warps"


def test_early_keys_weigh_as_much_as_late_ones():
    """A maximum that stays from tile to tile scales nothing down."""
    inputs = large_equal_scores(17, 1024, "float16")
    specs = [tw.spec(x.shape, "float16") for x in inputs]
    program = DeviceProgram(tw.jit(lambda q, k, v: tw.attention(q, k, v)).trace(*specs).lower("cuda:sm_80"))
    # Weights are rounded to the type of the values where they multiply, their sum is not.
    assert np.abs(program(*inputs)[0].astype(np.float64) - 0.5).max() <= 2**-10


def test_keys_that_no_row_sees_are_not_looked_at():
    """What lies there would spoil every sum: zero times no number is no number."""
    rng = fresh_rng()
    shape = (1, 1, 192, 32)

    def fn(q, k, v):
        return tw.attention(q, k, v, causal=True)

    program = DeviceProgram(tw.jit(fn).trace(*[tw.spec(shape, "float16")] * 3).lower(ARCH))
    q, k, v = (rng.standard_normal(shape).astype(np.float16) for _ in range(3))
    v[:, :, 64:] = np.nan
    (found,) = program(q, k, v)
    assert np.isfinite(found[:, :, :64]).all() and np.isnan(found[:, :, 64:]).all()


def test_rows_that_see_nothing_are_no_numbers():
    """As in the formula: infinities are subtracted. Rows that see their first key late are fine."""
    shape = (1, 1, 64, 16)
    specs = [tw.spec(shape, "float16")] * 3 + [tw.spec((1, 1, 64, 128), "float32")]
    specs[1] = specs[2] = tw.spec((1, 1, 128, 16), "float16")
    program = DeviceProgram(tw.jit(lambda q, k, v, m: tw.attention(q, k, v, m)).trace(*specs).lower(ARCH))
    rng = fresh_rng()
    inputs = [rng.standard_normal(s.shape).astype(s.dtype.numpy) for s in specs]
    inputs[3][:] = 0
    inputs[3][0, 0, 5] = -np.inf
    inputs[3][0, 0, 9, :100] = -np.inf
    (found,) = program(*inputs)
    expected = attention(*(x.astype(np.float64) for x in inputs))
    assert np.isnan(found[0, 0, 5]).all()
    rows = [i for i in range(64) if i != 5]
    assert np.allclose(found[0, 0, rows].astype(np.float64), expected[0, 0, rows], atol=4e-3)


def test_sizes_known_at_run_time():
    rng = fresh_rng()
    specs = [tw.spec((1, 2, n, 32), "bfloat16") for n in ("s", "t", "t")]

    def fn(q, k, v):
        return tw.attention(q, k, v, causal=True)

    program = DeviceProgram(tw.jit(fn).trace(*specs).lower(ARCH))
    for s, t in ((70, 70), (3, 130), (64, 64)):
        inputs = [rng.standard_normal((1, 2, n, 32)).astype(specs[0].dtype.numpy) for n in (s, t, t)]
        (found,) = program(*inputs)
        expected = attention(*(x.astype(np.float64) for x in inputs), causal=True)
        assert np.allclose(found.astype(np.float64), expected, atol=0.03)
    assert sum(name.startswith("kernel") for name, _, _ in program.launches) == 3


def test_what_does_not_fit_is_three_launches():
    """Rows of 24 elements divide into no fragments: products and a softmax, each for itself."""
    rng = fresh_rng()
    shape = (1, 2, 40, 24)
    program = DeviceProgram(tw.jit(tw.attention).trace(*[tw.spec(shape, "bfloat16")] * 3).lower(ARCH))
    inputs = [rng.standard_normal(shape).astype(tw.dtypes.by_name("bfloat16").numpy) for _ in range(3)]
    (found,) = program(*inputs)
    expected = attention(*(x.astype(np.float64) for x in inputs))
    assert np.allclose(found.astype(np.float64), expected, atol=0.03) and len(program.launches) == 3


def test_limits_that_arrays_hold():
    """A limit that differs between rows, or between heads that share keys, hides no key that a row sees."""
    rng = fresh_rng()
    groups, rows, keys, depth = 2, 32, 192, 16

    def program(q, k, v, by_head, by_row):
        shape = (1, 2, groups, rows, keys)
        scores = tw.astype(tw.einsum("bhgid,bhjd->bhgij", q, k), "float32")
        limit = tw.reshape(by_head, (1, 1, groups, 1, 1)) + tw.reshape(by_row, (1, 1, 1, rows, 1))
        seen = tw.iota(shape, 4, dtype="int32") <= tw.iota(shape, 3, dtype="int32") + limit
        weights = tw.softmax(tw.where(seen, scores, -float("inf")), axis=-1)
        return tw.einsum("bhgij,bhjd->bhgid", tw.astype(weights, "float16"), v)

    specs = [
        tw.spec((1, 2, groups, rows, depth), "float16"), tw.spec((1, 2, keys, depth), "float16"),
        tw.spec((1, 2, keys, depth), "float16"), tw.spec((groups,), "int32"), tw.spec((rows,), "int32"),
    ]  # fmt: skip
    compiled = DeviceProgram(tw.jit(program).trace(*specs).lower(ARCH))
    q, k, v = (rng.standard_normal(s.shape).astype(np.float16) for s in specs[:3])
    by_row = np.zeros(rows, np.int32)
    by_row[3] = 100
    by_head = np.array([0, 150], np.int32)
    (found,) = compiled(q, k, v, by_head, by_row)
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    scores = np.einsum("bhgid,bhjd->bhgij", q, k)
    limit = np.arange(rows)[:, None] + by_head[:, None, None] + by_row[:, None]
    scores = np.where(np.arange(keys) <= limit, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    expected = np.einsum("bhgij,bhjd->bhgid", weights / weights.sum(axis=-1, keepdims=True), v)
    assert np.abs(found - expected).max() < 1e-2


def test_without_keys():
    """Sums of nothing, as on the CPU."""
    rows, keys = tw.Dim("s"), tw.Dim("t")
    program = device_attention((rows, keys))
    q, k = np.ones((1, 2, 5, 32), np.float32), np.ones((1, 2, 0, 32), np.float32)
    kind = tw.dtypes.by_name("bfloat16").numpy
    (found,) = program(q.astype(kind), k.astype(kind), k.astype(kind))
    assert not np.any(found.astype(np.float64))


def device_attention(sizes):
    """Plain attention of sizes that are known at run time."""
    specs = [tw.spec((1, 2, sizes[i > 0], 32), "bfloat16") for i in range(3)]
    return DeviceProgram(tw.jit(lambda q, k, v: tw.attention(q, k, v)).trace(*specs).lower(ARCH))
