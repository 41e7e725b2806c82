"""`linear(..., activations="int8")`: rounded rows times quantised weights, on CPUs with and without the instruction.

Two bounds. The product itself: against float64 on the rows as they were rounded, to the rounding of float32. The mode:
each activation moves by half a step of its group at most, so a result moves by no more than that times the weights.
"""

import numpy as np
import pytest
import tilewright as tw
import tiny_llama
from op_matrix import fresh_rng
from tilewright import formats, runtime
from tilewright.errors import ArgumentError
from tilewright.models.language_model import LanguageModel
from tilewright.targets.cpu.target import CpuTarget
from tiny_llama import TinyLlama

#: Formats whose integers meet bytes in one instruction, and others, whose dequantised weights meet rounded rows.
INTEGER_FORMATS = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q4_k", "q5_k", "q6_k", "int8"]
FORMATS = [*INTEGER_FORMATS, "int4"]
GROUP = 32


@pytest.fixture
def rng():
    return fresh_rng()


def rounded(x, group=GROUP):
    """Rows as the mode rounds them, float64, and half a step of each element."""
    groups = x.reshape(*x.shape[:-1], x.shape[-1] // group, group)
    scale = np.abs(groups).max(-1, keepdims=True, initial=0) / np.float32(127)
    steps = np.where(scale > 0, groups / np.where(scale > 0, scale, 1), 0).round()
    near = (np.clip(steps, -127, 127).astype(np.float64) * scale).reshape(x.shape)
    return near, np.broadcast_to(scale / 2, groups.shape).reshape(x.shape).astype(np.float64)


def weight(rng, name, n, k, **options):
    planes = formats.quantize(name, rng.standard_normal((n, k), dtype=np.float32), **options)
    return tw.QuantizedTensor(planes, format=name), formats.dequantize(name, *planes.values())


def linear(w, x):
    return tw.linear(x, w, activations="int8")


def largest(w):
    """The largest magnitude in the group of each weight: offsets and minimums are added up apart, so that terms of a
    group are about as large as its largest weight."""
    if w.shape[-1] % GROUP:
        return np.broadcast_to(np.abs(w).max(-1, keepdims=True, initial=0), w.shape)
    groups = np.abs(w).reshape(*w.shape[:-1], -1, GROUP)
    return np.broadcast_to(groups.max(-1, keepdims=True, initial=0), groups.shape).reshape(w.shape)


def judge(got, x, w, group=GROUP):
    near, half = rounded(x, group)
    rounding = 2**-21 * (np.abs(near) @ largest(w).T)
    assert np.all(np.abs(got - near @ w.T) <= rounding)
    bound = half @ np.abs(w).T
    assert np.all(np.abs(got - x.astype(np.float64) @ w.T) <= bound * (1 + 2**-16) + rounding)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "m, n, k", [(1, 1, 256), (1, 70, 512), (3, 31, 256), (4, 64, 256), (5, 33, 512), (37, 97, 256)]
)
def test_products(jit, rng, name, m, n, k):
    x = rng.standard_normal((m, k), dtype=np.float32)
    w, exact = weight(rng, name, n, k)
    judge(jit(linear)(w, x), x, exact)
    bound = jit(linear, weight_argnums=0).lower(w, tw.spec(x.shape, "float32")).compile().bind(w)
    judge(bound(x), x, exact)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("m, n", [(16, 8), (100, 64), (37, 31)])
def test_more_rows_than_columns(jit, rng, name, m, n):
    """Tasks share rows then; columns of weights that are arguments like others are whole panels all the same."""
    x = rng.standard_normal((m, 256), dtype=np.float32)
    w, exact = weight(rng, name, n, 256)
    judge(jit(linear)(w, x), x, exact)


@pytest.mark.parametrize("name", ["q4_0", "q4_1", "q8_0"])
@pytest.mark.parametrize("groups", [1, 2, 3, 18])
def test_few_groups(jit, rng, name, groups):
    for m in (1, 6):
        x = rng.standard_normal((m, 32 * groups), dtype=np.float32)
        w, exact = weight(rng, name, 40, 32 * groups)
        judge(jit(linear, weight_argnums=0)(w, x), x, exact)


@pytest.mark.parametrize("name", ["q4_1", "q8_0"])
def test_rows_that_change(jit, rng, name):
    w, exact = weight(rng, name, 50, 96)
    function = jit(linear, weight_argnums=0)
    for m in (5, 33, 1, 64, 0):
        x = rng.standard_normal((m, 96), dtype=np.float32)
        judge(function(w, x), x, exact)


@pytest.mark.parametrize(
    "name, group", [("int8", 32), ("int8", 16), ("int8", "channel"), ("int8", "tensor"), ("int4", 32)]
)
def test_groups_of_weights(jit, rng, name, group):
    x = rng.standard_normal((3, 128), dtype=np.float32)
    w, exact = weight(rng, name, 37, 128, group=group)
    judge(jit(linear, weight_argnums=0)(w, x), x, exact)


def test_zero_points_of_rows(jit, rng):
    """Weights that are larger than their numbers by a zero point of the row."""
    x = rng.standard_normal((4, 64), dtype=np.float32)
    planes = formats.quantize(
        "int8", rng.random((37, 64), dtype=np.float32), group="channel", symmetric=False
    )
    assert np.any(planes["zeros"])
    w = tw.QuantizedTensor(planes, format="int8")
    exact = formats.dequantize("int8", *planes.values()).astype(np.float64)
    near, _ = rounded(x)
    # Offsets are added up apart: terms are as large as a row's largest number and its zero point together.
    size = np.abs(exact) + np.abs(planes["scales"] * planes["zeros"].astype(np.float64))[:, None]
    assert np.all(
        np.abs(jit(linear, weight_argnums=0)(w, x) - near @ exact.T) <= 2**-20 * (np.abs(near) @ size.T)
    )


def test_rows_that_no_group_divides(jit, rng):
    """A row has one scale then."""
    x = rng.standard_normal((5, 50), dtype=np.float32)
    w, exact = weight(rng, "int8", 37, 50)
    judge(jit(linear, weight_argnums=0)(w, x), x, exact, group=50)


def test_more_axes_bias_and_sharing(jit, rng):
    """[B, S, K], a bias and an activation in the epilogue, and two products of the same rows."""
    x, bias = rng.standard_normal((2, 5, 96), dtype=np.float32), rng.standard_normal(40, dtype=np.float32)
    (v, first), (w, second) = weight(rng, "q4_1", 40, 96), weight(rng, "q4_0", 40, 96)

    def gated(v, w, x, bias):
        return tw.maximum(tw.linear(x, v, bias, activations="int8"), 0.0) * linear(w, x)

    near = rounded(x)[0]
    expected = np.maximum(near @ first.T + bias, 0) * (near @ second.T)
    np.testing.assert_allclose(jit(gated)(v, w, x, bias), expected, rtol=2e-5, atol=2e-4)


@pytest.mark.parametrize("name", ["q4_0", "q4_1", "q8_0"])
def test_extreme_rows(jit, rng, name):
    """Groups of zeros, of one large element, of numbers that are tiny, and of both ends of the scale."""
    x = np.zeros((5, 96), np.float32)
    x[1, 40], x[2] = 1e30, rng.standard_normal(96) * 1e-30
    x[3] = rng.choice([-1.0, 1.0], 96)
    w, exact = weight(rng, name, 33, 96)
    got = jit(linear, weight_argnums=0)(w, x)
    judge(got, x, exact)
    assert not np.any(got[0])


@pytest.mark.parametrize("name", ["q4_1", "q8_0"])
@pytest.mark.parametrize("m", [1, 21])
def test_the_same_bits_on_any_number_of_threads(rng, name, m):
    x = rng.standard_normal((m, 512), dtype=np.float32)
    function, (w, _) = tw.jit(linear, weight_argnums=0), weight(rng, name, 333, 512)
    before = runtime.num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            runtime.set_num_threads(threads)
            results.append(np.array(function(w, x)))
    finally:
        runtime.set_num_threads(before)
    assert all(np.array_equal(results[0], other) for other in results[1:])


@pytest.mark.parametrize("name", INTEGER_FORMATS)
@pytest.mark.parametrize("m", [1, 40])
def test_the_instruction_is_used(rng, name, m):
    if not {"+avx512vnni", "+avx512vl"} <= set(CpuTarget().features.split(",")):
        pytest.skip("no avx512vnni here")
    w, _ = weight(rng, name, 64, 256)
    lowered = tw.jit(linear, weight_argnums=0).lower(w, tw.spec((m, 256), "float32"))
    assert "vpdpbusd" in lowered.as_text("object")


def test_mistakes(rng):
    x, (w, exact) = np.ones((2, 32), np.float32), weight(rng, "q8_0", 4, 32)
    with pytest.raises(ArgumentError, match="activations are 'int4'"):
        tw.jit(lambda w, x: tw.linear(x, w, activations="int4"))(w, x)
    with pytest.raises(ArgumentError, match="needs a QuantizedTensor"):
        tw.jit(linear)(exact.astype(np.float32), x)


# ---- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sizes", [TinyLlama(hidden=64, feed_forward=96, format="q4_1"), TinyLlama(format="f16", layers=1)]
)
def test_a_model_with_rounded_activations(tmp_path, rng, sizes):
    path = tiny_llama.write(tmp_path / "tiny.gguf", sizes)
    model = LanguageModel(path, activations="int8")
    ids = rng.integers(0, sizes.vocabulary, 9).tolist()
    model.feed(ids[:4])
    error = model.activation_error(ids)
    exact = LanguageModel(path).feed(ids)
    # The measurement leaves the sequence alone.
    assert model.length == 4
    got = model.feed(ids[4:])
    assert error == pytest.approx(np.linalg.norm(got - exact) / np.linalg.norm(exact), rel=1e-3, abs=1e-6)
    if sizes.format == "f16":
        assert error < 1e-5
    else:
        assert 1e-5 < error < 0.05


def test_a_model_refuses_other_activations(tmp_path):
    with pytest.raises(ArgumentError, match="activations"):
        LanguageModel(tiny_llama.write(tmp_path / "tiny.gguf"), activations="int4")
