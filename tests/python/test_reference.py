"""The reference against sources that share no code with it: libm, Python integers, and loops over elements."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from tilewright import formats
from tilewright.reference import REFERENCE as ref

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered.*:RuntimeWarning")


@pytest.fixture
def rng():
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def ulps(actual, expected):
    return np.max(
        np.abs(actual - expected) / np.spacing(np.maximum(np.abs(expected), np.finfo(np.float64).tiny))
    )


LIBM = {
    "exp": (math.exp, -30, 30), "expm1": (math.expm1, -3, 3), "log": (math.log, 1e-9, 1e9),
    "log2": (math.log2, 1e-9, 1e9), "log10": (math.log10, 1e-9, 1e9), "log1p": (math.log1p, -0.99, 5),
    "sqrt": (math.sqrt, 0, 1e9), "sin": (math.sin, -50, 50), "cos": (math.cos, -50, 50), "tan": (math.tan, -50, 50),
    "asin": (math.asin, -1, 1), "acos": (math.acos, -1, 1), "atan": (math.atan, -9, 9), "sinh": (math.sinh, -9, 9),
    "cosh": (math.cosh, -9, 9), "tanh": (math.tanh, -9, 9), "asinh": (math.asinh, -99, 99),
    "acosh": (math.acosh, 1, 99), "atanh": (math.atanh, -0.999, 0.999), "erf": (math.erf, -5, 5),
    "exp2": (lambda x: 2.0**x, -30, 30), "rsqrt": (lambda x: 1 / math.sqrt(x), 1e-9, 1e9),
    "cbrt": (lambda x: math.copysign(abs(x) ** (1 / 3), x), -99, 99), "floor": (math.floor, -9, 9),
    "ceil": (math.ceil, -9, 9), "trunc": (math.trunc, -9, 9), "round": (round, -9, 9),
    "reciprocal": (lambda x: 1 / x, 0.1, 9), "square": (lambda x: x * x, -9, 9), "abs": (abs, -9, 9),
    "neg": (lambda x: -x, -9, 9), "sigmoid": (lambda x: 1 / (1 + math.exp(-x)), -30, 30),
    "silu": (lambda x: x / (1 + math.exp(-x)), -30, 30),
    "gelu": (lambda x: x * math.erfc(-x / math.sqrt(2)) / 2, -8, 8),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(LIBM))
def test_unary_equals_libm(rng, name):
    function, low, high = LIBM[name]
    x = rng.uniform(low, high, 501)
    x[:3] = [low, high, (low + high) / 2]
    if name == "reciprocal":
        x[2] = 1.0
    expected = np.array([float(function(v)) for v in x])
    assert ulps(ref[name](x), expected) <= (8 if name == "cbrt" else 4)


def test_gelu_tanh_equals_its_formula(rng):
    x = rng.uniform(-5, 5, 300)
    expected = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    np.testing.assert_allclose(ref["gelu"](x, approximate="tanh"), expected, rtol=1e-10, atol=1e-15)


def test_round_is_half_to_even():
    np.testing.assert_array_equal(ref["round"](np.array([0.5, 1.5, 2.5, -0.5, -1.5])), [0, 2, 2, -0.0, -2])


BINARY = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
    "floor_div": lambda a, b: a // b if b else 0, "remainder": lambda a, b: a % b if b else 0,
    "max": max, "min": min, "bitwise_and": lambda a, b: a & b, "bitwise_or": lambda a, b: a | b,
    "bitwise_xor": lambda a, b: a ^ b,
}  # fmt: skip


def wrap(value, dtype):
    """A Python integer as an element of dtype, modulo 2**bits."""
    bits = dtype.itemsize * 8
    value %= 2**bits
    return value - 2**bits if dtype.kind == "i" and value >= 2 ** (bits - 1) else value


def integers(rng, dtype, size=400):
    info = np.iinfo(dtype)
    values = rng.integers(info.min, info.max, size, dtype=dtype, endpoint=True)
    values[:6] = [0, 1, info.max, info.min, 2, info.max - 1]
    return values


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("name", sorted(BINARY))
def test_integer_binary_equals_python(rng, name, dtype):
    dtype = np.dtype(dtype)
    a, b = integers(rng, dtype), rng.permutation(integers(rng, dtype))
    b[10] = 0
    expected = [wrap(BINARY[name](int(p), int(q)), dtype) for p, q in zip(a, b)]
    result = ref[name](a, b)
    assert result.dtype == dtype
    assert result.tolist() == expected


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint8", "int64"])
def test_integer_pow_wraps_and_inverts(rng, dtype):
    dtype = np.dtype(dtype)
    low = -4 if dtype.kind == "i" else 0
    a, b = rng.integers(low, 5, 300).astype(dtype), rng.integers(low, 40, 300).astype(dtype)
    a[:2], b[:2] = (0, 1), (low, low)
    expected = [
        wrap(int(p) ** int(q), dtype) if q >= 0 else {1: 1, -1: -1 if q % 2 else 1}.get(int(p), 0)
        for p, q in zip(a.tolist(), b.tolist())
    ]
    assert ref["pow"](a, b).tolist() == expected


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64"])
def test_shifts(dtype):
    dtype = np.dtype(dtype)
    bits = dtype.itemsize * 8
    values = [1, 3, np.iinfo(dtype).max, np.iinfo(dtype).min]
    amounts = [0, 1, bits - 1, bits, bits + 3]
    a, b = (np.array(v, dtype) for v in zip(*itertools.product(values, amounts)))
    left = [wrap(int(p) << int(q), dtype) if q < bits else 0 for p, q in zip(a, b)]
    assert ref["shift_left"](a, b).tolist() == left
    assert ref["shift_right"](a, b).tolist() == [int(p) >> int(q) for p, q in zip(a, b)]


def test_negation_and_absolute_value_wrap():
    assert ref["neg"](np.array([1, 0, 255], np.uint8)).tolist() == [255, 0, 1]
    assert ref["neg"](np.array([-128, 5], np.int8)).tolist() == [-128, -5]
    assert ref["abs"](np.array([-128, -5], np.int8)).tolist() == [-128, 5]


def test_nan_wins_max_and_min_and_loses_comparisons():
    a, b = np.array([np.nan, 1.0, 2.0]), np.array([1.0, np.nan, 3.0])
    np.testing.assert_array_equal(ref["max"](a, b), [np.nan, np.nan, 3])
    np.testing.assert_array_equal(ref["min"](a, b), [np.nan, np.nan, 2])
    np.testing.assert_array_equal(ref["reduce_max"](a, dims=[0]), np.nan)
    assert ref["argmax"](a, axis=0) == 0 and ref["argmin"](b, axis=0) == 1
    for predicate in ("eq", "lt", "le", "gt", "ge"):
        assert not ref["compare"](a, b, predicate=predicate)[:2].any()
    assert ref["compare"](a, b, predicate="ne").all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("floor_div", [-4.0, 3.0, np.inf, np.nan]), ("remainder", [1.0, 1.0, np.nan, np.nan])],
)
def test_float_division_follows_numpy(name, expected):
    a, b = np.array([-7.0, 7.0, 1.0, 0.0]), np.array([2.0, 2.0, 0.0, 0.0])
    np.testing.assert_array_equal(ref[name](a, b), expected)


@pytest.mark.parametrize("target", ["int8", "uint8", "int32", "int64", "uint64"])
def test_cast_from_float_clamps_and_truncates(target):
    info = np.iinfo(target)
    x = np.array([1.9, -1.9, np.nan, np.inf, -np.inf, 1e30, -1e30, float(info.max), 0.0])
    expected = [1, max(-1, info.min), 0, info.max, info.min, info.max, info.min, info.max, 0]
    result = ref["cast"](x, dtype=target)
    assert result.dtype == target and [int(v) for v in result] == expected


def test_cast_between_integers_wraps_and_to_bool_tests():
    assert ref["cast"](np.array([300, -1], np.int32), dtype="uint8").tolist() == [44, 255]
    assert ref["cast"](np.array([0.0, np.nan, -2.0]), dtype="bool").tolist() == [False, True, True]
    assert ref["cast"](np.array([True, False]), dtype="float32").tolist() == [1.0, 0.0]


# ---- shape --------------------------------------------------------------------------------------------


def test_broadcast_places_dimensions():
    x = np.arange(6).reshape(2, 1, 3)
    result = ref["broadcast"](x, shape=(2, 5, 4, 3), dims=[0, 2, 3])
    for i, j, k, n in np.ndindex(2, 5, 4, 3):
        assert result[i, j, k, n] == x[i, 0, n]


@pytest.mark.parametrize(("offset", "start"), [(-5, 0), (0, 0), (2, 2), (99, 5)])
def test_slice_clamps_offsets(offset, start):
    x = np.arange(10)
    assert ref["slice"](x, [offset], [3], [2]).tolist() == [start, start + 2, start + 4]
    updated = ref["update_slice"](x, np.array([-1] * 5), [offset])
    assert np.flatnonzero(updated == -1).tolist() == list(range(start, start + 5))


def test_slice_of_nothing():
    assert ref["slice"](np.arange(4), [9], [0], [3]).shape == (0,)


@pytest.mark.parametrize("kind", ["set", "add", "max", "min"])
@pytest.mark.parametrize("axis", [0, 1])
def test_scatter_is_sequential(rng, kind, axis):
    x = rng.standard_normal((4, 5))
    indices = np.array([3, 0, 3, -1, 9, -9, 3])
    shape = list(x.shape)
    shape[axis] = len(indices)
    updates = rng.standard_normal(shape)
    expected = x.copy()
    for k, index in enumerate(indices.tolist()):
        index += x.shape[axis] if index < 0 else 0
        if not 0 <= index < x.shape[axis]:
            continue
        for other in range(x.shape[1 - axis]):
            place, source = ((index, other), (k, other)) if axis == 0 else ((other, index), (other, k))
            old, new = expected[place], updates[source]
            expected[place] = {"set": new, "add": old + new, "max": max(old, new), "min": min(old, new)}[kind]
    np.testing.assert_array_equal(ref["scatter"](x, indices, updates, axis=axis, kind=kind), expected)


@pytest.mark.parametrize(
    ("mode", "expected"), [("clip", [0, 0, 3, 3]), ("wrap", [1, 3, 3, 1]), ("raise", None)]
)
def test_gather_modes(mode, expected):
    x, indices = np.arange(4) * 10, np.array([-7, -1, 3, 5])
    if expected is None:
        with pytest.raises(IndexError, match="index -7 is out of range for an axis of size 4"):
            ref["gather"](x, indices, axis=0, mode=mode)
        assert ref["gather"](x, np.array([-4, -1, 3]), axis=0, mode=mode).tolist() == [0, 30, 30]
    else:
        assert ref["gather"](x, indices, axis=0, mode=mode).tolist() == [10 * i for i in expected]


def test_pad_iota_flip_concat():
    x = np.array([[1, 2]])
    np.testing.assert_array_equal(
        ref["pad"](x, np.array(7), low=[1, 0], high=[0, 2]), [[7, 7, 7, 7], [1, 2, 7, 7]]
    )
    np.testing.assert_array_equal(ref["iota"](shape=(2, 3), dtype="float32", axis=1), [[0, 1, 2]] * 2)
    np.testing.assert_array_equal(ref["flip"](x, axes=[1]), [[2, 1]])
    np.testing.assert_array_equal(ref["concat"](x, x, axis=0), [[1, 2], [1, 2]])


# ---- reductions ---------------------------------------------------------------------------------------


def test_reductions_of_nothing():
    x = np.zeros((0, 3))
    np.testing.assert_array_equal(ref["sum"](x, dims=[0]), [0, 0, 0])
    np.testing.assert_array_equal(ref["prod"](x, dims=[0]), [1, 1, 1])
    np.testing.assert_array_equal(ref["reduce_max"](x, dims=[0]), [-np.inf] * 3)
    np.testing.assert_array_equal(ref["reduce_min"](x.astype(np.int8), dims=[0]), [127] * 3)
    assert np.isnan(ref["mean"](x, dims=[0])).all()
    assert ref["mean"](x, dims=[1]).shape == (0,)


def test_integer_reductions_keep_their_dtype_and_wrap():
    x = np.array([100, 100, 100], np.int8)
    assert ref["sum"](x, dims=[0]) == 44 and ref["sum"](x, dims=[0]).dtype == np.int8
    assert ref["cumsum"](x, axis=0).tolist() == [100, -56, 44]
    assert ref["cumprod"](np.array([16, 16, 16], np.uint8), axis=0).tolist() == [16, 0, 0]


@pytest.mark.parametrize("correction", [0.0, 1.0])
def test_variance_equals_its_definition(rng, correction):
    x = rng.standard_normal((3, 4, 5)) + 10
    expected = np.empty(4)
    for j in range(4):
        values = [float(x[i, j, k]) for i in range(3) for k in range(5)]
        centre = math.fsum(values) / 15
        expected[j] = math.fsum((v - centre) ** 2 for v in values) / (15 - correction)
    np.testing.assert_allclose(ref["var"](x, dims=[0, 2], correction=correction), expected, rtol=1e-13)


# ---- contractions -------------------------------------------------------------------------------------


def test_dot_general_equals_einsum(rng):
    # Whole numbers, so that sums are exact in any order.
    a, b = (rng.integers(-99, 99, shape).astype(np.float64) for shape in ((3, 2, 4, 5), (5, 7, 2, 3)))
    result = ref["dot_general"](a, b, lhs_batch=[1], rhs_batch=[2], lhs_contract=[3, 0], rhs_contract=[0, 3])
    np.testing.assert_array_equal(result, np.einsum("cbik,kjbc->bij", a, b))


def test_precision_rounds_nothing(rng):
    a = rng.standard_normal((3, 4)).astype(np.float32)
    keywords = {"lhs_contract": [1], "rhs_contract": [1]}
    assert np.array_equal(
        ref["dot_general"](a, a, **keywords, precision="tf32"), ref["dot_general"](a, a, **keywords)
    )


def test_dot_general_of_nothing_is_zero():
    assert (
        ref["dot_general"](np.ones((2, 0)), np.ones((0, 3)), lhs_contract=[1], rhs_contract=[0]).tolist()
        == [[0] * 3] * 2
    )


def test_dot_general_multiplies_in_the_result_type():
    a = np.full((1, 300), 127, np.int8)
    wide = ref["dot_general"](a, a.T, lhs_contract=[1], rhs_contract=[0], dtype="int32")
    assert wide.dtype == np.int32 and wide[0, 0] == 300 * 127 * 127


def window_loop(x, window, strides, dilations, low, high, border):
    """Yield (output position, window values) by plain loops."""
    spatial = x.shape[2:]
    out = [
        (n + lo + hi - ((w - 1) * d + 1)) // s + 1
        for n, w, s, d, lo, hi in zip(spatial, window, strides, dilations, low, high)
    ]
    for position in np.ndindex(*out):
        values = np.full((*x.shape[:2], *window), border, x.dtype)
        for tap in np.ndindex(*window):
            where = [p * s + t * d - lo for p, s, t, d, lo in zip(position, strides, tap, dilations, low)]
            if all(0 <= w < n for w, n in zip(where, spatial)):
                values[(slice(None), slice(None), *tap)] = x[(slice(None), slice(None), *where)]
        yield position, values


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("spatial", "window", "strides", "dilations", "low", "high"),
    [
        ((9,), (3,), (2,), (1,), (0,), (0,)),
        ((7, 8), (3, 2), (1, 3), (2, 1), (1, 0), (2, 1)),
        ((4, 4, 5), (2, 2, 2), (1, 2, 1), (1, 1, 3), (0, 1, 0), (0, 0, 1)),
    ],
)
def test_conv_and_pool_equal_loops(rng, spatial, window, strides, dilations, low, high, groups):
    x, w = rng.standard_normal((2, 4, *spatial)), rng.standard_normal((6, 4 // groups, *window))
    arguments = {"strides": strides, "dilations": dilations, "low": low, "high": high}
    conv = ref["conv"](x, w, groups=groups, **arguments)
    total = ref["pool"](x, kind="sum", window=window, **arguments)
    top = ref["pool"](x, kind="max", window=window, **arguments)
    inner = tuple(range(2, 2 + len(window)))
    count = 0
    for position, values in window_loop(x, window, border=0.0, **arguments):
        count += 1
        place = (slice(None), slice(None), *position)
        np.testing.assert_allclose(total[place], values.sum(axis=inner), rtol=1e-12, atol=1e-12)
        for output in range(6):
            group = output // (6 // groups)
            channels = slice(group * 4 // groups, (group + 1) * 4 // groups)
            expected = (values[:, channels] * w[output]).reshape(2, -1).sum(axis=1)
            np.testing.assert_allclose(
                conv[(slice(None), output, *position)], expected, rtol=1e-11, atol=1e-12
            )
    assert count == np.prod(conv.shape[2:]) == np.prod(top.shape[2:])
    for position, values in window_loop(x, window, border=-np.inf, **arguments):
        np.testing.assert_array_equal(top[(slice(None), slice(None), *position)], values.max(axis=inner))


# ---- neural networks ----------------------------------------------------------------------------------


def test_softmax_sums_to_one_and_survives_large_values(rng):
    x = rng.standard_normal((3, 7)) + 1e4
    result = ref["softmax"](x, axis=1)
    np.testing.assert_allclose(result.sum(axis=1), 1, rtol=1e-14)
    shifted = np.exp(x - 1e4)
    np.testing.assert_allclose(result, shifted / shifted.sum(axis=1, keepdims=True), rtol=1e-10)
    np.testing.assert_allclose(ref["log_softmax"](x, axis=1), np.log(result), rtol=1e-10)


def test_norms_equal_loops(rng):
    x, w, b = rng.standard_normal((3, 8)), rng.standard_normal(8), rng.standard_normal(8)
    for row in range(3):
        values = x[row].tolist()
        centre = math.fsum(values) / 8
        spread = math.sqrt(math.fsum((v - centre) ** 2 for v in values) / 8 + 1e-3)
        expected = [(v - centre) / spread * wi + bi for v, wi, bi in zip(values, w, b)]
        np.testing.assert_allclose(
            ref["layer_norm"](x, weight=w, bias=b, eps=1e-3)[row], expected, rtol=1e-12
        )
        root = math.sqrt(math.fsum(v * v for v in values) / 8 + 1e-3)
        np.testing.assert_allclose(ref["rms_norm"](x, w, eps=1e-3)[row], x[row] / root * w, rtol=1e-12)


@pytest.mark.parametrize("interleaved", [False, True])
def test_rope_is_a_rotation_of_complex_pairs(rng, interleaved):
    x, angle = rng.standard_normal((2, 3, 5, 8)), rng.standard_normal((5, 4))
    pairs = (x[..., 0::2] + 1j * x[..., 1::2]) if interleaved else (x[..., :4] + 1j * x[..., 4:])
    turned = pairs * np.exp(1j * angle)
    result = ref["rope"](x, np.cos(angle), np.sin(angle), interleaved=interleaved)
    first, second = (
        (result[..., 0::2], result[..., 1::2]) if interleaved else (result[..., :4], result[..., 4:])
    )
    np.testing.assert_allclose(first + 1j * second, turned, rtol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_loops(rng, causal, masked):
    q, k, v = (rng.standard_normal(s) for s in ((2, 4, 3, 8), (2, 2, 5, 8), (2, 2, 5, 6)))
    mask = rng.standard_normal((1, 4, 3, 5)) if masked else None
    result = ref["attention"](q, k, v, mask, causal=causal, scale=0.3)
    for b, h, s in np.ndindex(2, 4, 3):
        seen = range(s + 5 - 3 + 1) if causal else range(5)
        scores = [
            0.3 * float(q[b, h, s] @ k[b, h // 2, t]) + (mask[0, h, s, t] if masked else 0) for t in seen
        ]
        weights = [math.exp(score) for score in scores]
        expected = sum(w * v[b, h // 2, t] for w, t in zip(weights, seen)) / sum(weights)
        np.testing.assert_allclose(result[b, h, s], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "scales"),
    [
        ("q8_0", (3, 2)),
        *(("int8", s) for s in [(), (3,), (3, 4)]),
        *(("int4", s) for s in [(), (3,), (3, 4)]),
    ],
)
def test_quantize_stays_within_half_a_step(rng, name, scales):
    x = rng.standard_normal((3, 64))
    storage, d = ref["quantize"](x, format=(name, 0), scales_shape=scales)
    back = ref["dequantize"](storage, d, format=(name, 0))
    step = np.repeat(d.reshape(3, -1), 64 // (d.size // 3), axis=1) if scales else d
    assert d.shape == scales
    assert (np.abs(back - x) <= step * 0.5 * (1 + 1e-12)).all()
    stored = formats.unpack_int4(storage) if name == "int4" else storage
    assert stored.dtype == np.int8 and np.abs(stored).max() == (7 if name == "int4" else 127)


@pytest.mark.parametrize("name", ["q4_0", "q4_1"])
def test_quantize_of_blocks_is_the_formats(rng, name):
    x = rng.standard_normal((3, 64))
    planes = ref["quantize"](x, format=(name, 32), scales_shape=(3, 2))
    for ours, theirs in zip(planes, formats.quantize(name, x).values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
