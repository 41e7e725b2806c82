"""Methods, attributes and NumPy-style helpers of traced values mean what they mean on arrays."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import tilewright as tw
from tilewright import numpy as tnp

X = np.random.default_rng(0).normal(size=(3, 4)).astype("f")
V = X[0].copy()
WILD = np.float32([math.inf, 100, -math.inf, -50, math.nan])

SAME = {
    "transpose": lambda x: x.transpose(),
    "transpose-axes": lambda x: x.transpose(1, 0),
    "transpose-tuple": lambda x: x.transpose((1, 0)),
    "mT": lambda x: x[None].mT,
    "flatten": lambda x: x.flatten(),
    "ravel": lambda x: x.ravel(),
    "copy": lambda x: x.copy(),
    "squeeze": lambda x: x[None].squeeze(0),
    "take": lambda x: x.take(np.int64([2, 0]), axis=0),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "clip": lambda x: x.clip(-0.5, 0.5),
    "cumsum": lambda x: x.cumsum(axis=1),
    "round": lambda x: x.round(),
    "dot": lambda x: x.dot(x.T),
    "reshape": lambda x: x.reshape(4, 3),
    "astype": lambda x: x.astype("float64"),
    "iter": lambda x: sum(list(x)),
    "len": lambda x: x * len(x),
    "size": lambda x: x * x.size + x.itemsize + x.nbytes + x.ndim,
    "reflected": lambda x: 1.0 - x + 2.0 / (x + 9) + 2.0**x + 7.0 % (x + 9) + 7.0 // (x + 9),
    "in-place": lambda x: _in_place(x),
    "abs": lambda x: abs(-x) + (+x),
    "compare": lambda x: (x > 0) & ~(x == 1) | (x <= -1) ^ (x != 2),
    "add.reduce": lambda x: np.add.reduce(x, axis=1),
    "maximum.reduce": lambda x: np.maximum.reduce(x),
    "ptp": lambda x: np.ptp(x, axis=1),
    "vstack": lambda x: np.vstack([x, x[0]]),
    "hstack": lambda x: np.hstack([x, x]),
    "hstack-vectors": lambda x: np.hstack([x[0], x[1]]),
    "diff": lambda x: np.diff(x, axis=0),
    "norm": lambda x: np.linalg.norm(x),
    "norm-1": lambda x: np.linalg.norm(x, ord=1, axis=1),
    "norm-inf": lambda x: np.linalg.norm(x, ord=np.inf, axis=1),
    "average": lambda x: np.average(x, axis=1),
    "average-weights": lambda x: np.average(x, axis=1, weights=np.abs(X) + 1),
    "split": lambda x: np.concatenate(np.split(x, [3, 1, -2], axis=1), axis=1),
    "roll": lambda x: np.roll(x, (1, -2), axis=(0, 1)),
    "roll-flat": lambda x: np.roll(x, 5),
    "repeat": lambda x: np.repeat(x, 2),
    "tile": lambda x: np.tile(x, (2, 1, 3)),
    "pad": lambda x: np.pad(x, ((1, 0), (2, 3))),
    "pad-all": lambda x: np.pad(x, (1, 2)),
    "pad-one": lambda x: np.pad(x, ((1, 2),), constant_values=3),
    "meshgrid": lambda x: sum(np.meshgrid(x[0], x[1], indexing="ij")),
    "tensordot": lambda x: np.tensordot(x, x, axes=((0, 1), (0, 1))),
    "atleast": lambda x: np.atleast_1d(x.sum()),
}  # fmt: skip


def _in_place(x):
    y = x.copy()
    y += 1
    y *= 2
    y -= x
    y /= 3
    return y


@pytest.mark.parametrize("name", SAME)
def test_as_on_arrays(name):
    expected = SAME[name](X.copy())
    actual = tw.jit(SAME[name], target="interp")(X.copy())
    assert np.shape(actual) == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("limits", [{}, {"nan": 3.0}, {"posinf": 2.0}, {"neginf": -1.5, "posinf": 2.0}])
def test_nan_to_num_leaves_finite_numbers_alone(limits):
    actual = tw.jit(lambda x: tnp.nan_to_num(x, **limits), target="interp")(WILD)
    np.testing.assert_array_equal(actual, np.nan_to_num(WILD, **limits))


@pytest.mark.parametrize(
    "values",
    [[1, 2, 3], [-math.inf] * 3, [math.inf, 1, 2], [-math.inf, 1, 2], [math.nan, 1, math.inf], [1e4, 1e4]],
)
@pytest.mark.parametrize("target", ["interp", "cpu"])
def test_logsumexp_of_anything(values, target):
    x = np.float32(values)
    with np.errstate(all="ignore"):
        expected = np.logaddexp.reduce(x.astype(np.float64))
    np.testing.assert_allclose(tw.jit(tw.logsumexp, target=target)(x), expected, rtol=1e-6)


@pytest.mark.parametrize("target", ["interp", "cpu"])
def test_a_weighted_average_of_infinities(target):
    x = np.float32([[math.inf, 1], [2, 3]])
    actual = tw.jit(lambda x: tw.average(x, axis=1, weights=np.float32([1, 3])), target=target)(x)
    np.testing.assert_allclose(actual, [math.inf, 2.75])


@pytest.mark.parametrize("weights", [np.float64([1, 3]), np.float32([1, 3]), np.int64([1, 3]), 2.0])
def test_weights_take_part_in_promotion(weights):
    x = np.float32([[1, 2], [3, 5]])
    actual = np.asarray(tw.jit(lambda x: tw.average(x, axis=1, weights=weights))(x))
    expected = x.mean(axis=1) if isinstance(weights, float) else np.average(x, axis=1, weights=weights)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    assert actual.dtype == (np.float64 if getattr(weights, "dtype", None) == np.float64 else np.float32)


def test_counts_may_be_numpy_integers():
    def program(x):
        two, one = np.int64(2), np.int32(1)
        rolled = tw.roll(x, one, axis=(0, 1)), tw.roll(x, (one, two), axis=(0, 1))
        parts = *tw.split(x, two, axis=1), *tw.split(x, np.array([1, 2]))
        return *rolled, *parts, tw.pad(x, np.array([[1, 0], [0, 2]])), x[two::-one], x[two:0:-one]

    both = ((0, 1),)
    expected = (
        *(np.roll(X, 1, *both), np.roll(X, (1, 2), *both)),
        *(*np.split(X, 2, axis=1), *np.split(X, [1, 2])),
        *(np.pad(X, ((1, 0), (0, 2))), X[2::-1], X[2:0:-1]),
    )
    for actual, wanted in zip(tw.jit(program)(X), expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_what_a_traced_value_says_of_itself():
    def program(x, n):
        assert repr(x) == "<traced float32[3, 4]>" and x.device == "traced" and hash(x) == id(x)
        assert (x.size, x.itemsize, x.nbytes, x.ndim) == (12, 4, 48, 2)
        assert repr(n.shape[0]) == "n" and repr(n.size) in ("2*n", "n*2")
        return x, n

    tw.jit(program).trace(tw.spec((3, 4)), tw.spec((tw.Dim("n"), 2)))


def test_the_namespace_describes_itself():
    info = tnp.__array_namespace_info__()
    assert info.capabilities()["boolean indexing"] is False
    assert info.default_device() == "cpu" and info.devices() == ["cpu"]
    assert info.default_dtypes()["real floating"] is tw.float32
    assert set(info.dtypes(kind="signed integer")) == {"int8", "int16", "int32", "int64"}
    assert "bool" in info.dtypes() and "bfloat16" in info.dtypes()


def test_dtypes_of_a_mix():
    assert tnp.result_type("int8", "uint8") is tw.int16 and tnp.result_type(X, 1) is tw.float32
    assert tnp.result_type(np.dtype("int8"), np.int32) is tw.int32
    assert (
        tnp.can_cast("int8", "int16") and not tnp.can_cast("int16", "int8") and not tnp.can_cast(X, "int64")
    )
    assert tnp.isrealobj(X)
    assert tnp.empty((2, 3), dtype="int8").shape == (2, 3) and tnp.empty_like(X).dtype == np.float32
    assert [a.shape for a in tnp.unstack(X)] == [(4,)] * 3


# ---- quantised tensors --------------------------------------------------------------------------------


def apply(target, f, *args):
    return tw.jit(f, target=target)(*args)


def test_a_quantised_matrix_multiplies_like_its_numbers(rng):
    from tilewright import formats

    numbers = rng.normal(size=(8, 64)).astype("f")
    q = tw.QuantizedTensor(formats.quantize("q8_0", numbers), format="q8_0")
    exact = np.asarray(tw.dequantize(q))
    assert q.ndim == 2 and q.shape == (8, 64) and q.T.shape == (64, 8) and repr(q) == "<q8_0[8, 64]>"
    x = rng.normal(size=(3, 64)).astype("f")
    y = rng.normal(size=(64, 5)).astype("f")
    for target in ("interp", "cpu"):
        run = functools.partial(apply, target)
        np.testing.assert_allclose(run(lambda x: x @ q.T, x), x @ exact.T, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(run(lambda y: q @ y, y), exact @ y, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(
            run(lambda y: q.dequantize("float64")[0] + y[:, 0], y), exact[0] + y[:, 0], rtol=1e-6
        )
        np.testing.assert_allclose(
            run(lambda y: q.T.T.dequantize().sum() + y[0, 0], y), exact.sum() + y[0, 0], rtol=1e-4
        )


# ---- sizes --------------------------------------------------------------------------------------------

FORMULAS = [
    lambda m, n: m + n - 1,
    lambda m, n: 7 - m + (-n) + 2 * (m + n),
    lambda m, n: (2 * m + 2) // 2,
    lambda m, n: (m * n) // n,
    lambda m, n: (m * n + n) // n,
    lambda m, n: m // n + n // 4 + 9 // m + 9 % m,
    lambda m, n: m % n + (m + 3) % 4,
    lambda m, n: sum(divmod(m * 3 + n, 5)),
    lambda m, n: sum(divmod(17, n)) if hasattr(n, "__rdivmod__") else 17 // n + 17 % n,
    lambda m, n: (m * 4 + n) % 4 + (m * 4) % 4,
    lambda m, n: m * m * n - n * m * m + 5,
    lambda m, n: m / n + 1 / m,
    lambda m, n: m**2 + 2**n,
    lambda m, n: np.int64(3) * m + np.int32(2),
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_arithmetic_on_sizes_is_that_of_numbers(formula):
    def program(a):
        return tw.asarray(formula(*a.shape))

    compiled = (
        tw.jit(program, target="interp").trace(tw.spec((tw.Dim("m"), tw.Dim("n")))).lower("interp").compile()
    )
    for m, n in [(1, 1), (2, 5), (7, 3), (12, 4), (5, 12)]:
        np.testing.assert_allclose(compiled(np.zeros((m, n), "f")), float(formula(m, n)), rtol=1e-6)


def test_what_bounds_decide():
    def program(a):
        m, n = a.shape
        assert m >= 4 and m > 3 and m < 17 and m <= 16 and not m < 4 and not m > 16 and m != 3 and m != 17
        assert m == m and m != "m" and m + n > n and n < m + n and bool(m)
        assert m % 4 == 0 and (m // 4) * 4 == m
        return a

    tw.jit(program).trace(tw.spec((tw.Dim("m", min=4, max=16, multiple_of=4), tw.Dim("n"))))


def test_specs():
    assert repr(tw.Dim("n", min=0, max=8, multiple_of=2)) == "Dim('n', min=0, max=8, multiple_of=2)"
    assert tw.spec(5).shape == (5,) and tw.spec(("n", 4)).ndim == 2
    assert tw.spec((None, 64)).with_shape((3, 64)).shape == (3, 64)
