"""Random programs from a small grammar: the compiled program computes what the reference computes.

The reference runs twice, rounding each operation to the program's dtype and not rounding at all. What lies between the
two is how much the program itself amplifies rounding; compiled code must stay within a small multiple of that.
"""

from __future__ import annotations

import numpy as np
import pytest
import tilewright as tw
from hypothesis import given, note
from hypothesis import strategies as st
from tilewright import dtypes

# ---- the grammar --------------------------------------------------------------------------------------

UNARY = ("tanh", "sigmoid", "sin", "cos", "abs", "negative", "square", "relu", "silu", "exp_small", "softmax")
BINARY = ("add", "subtract", "multiply", "maximum", "minimum", "where", "matmul_t", "concat")
SHAPE = (
    "transpose",
    "sum_keep",
    "max_keep",
    "mean_keep",
    "slice_tail",
    "flip",
    "reshape_back",
    "rms_norm",
    "cumsum",
)
SIZES = st.sampled_from([1, 2, 3, 5, 8, 15, 16, 17, 33])


@st.composite
def programs(draw):
    """A list of steps: (name, operand positions); positions count back from the last value."""
    steps = draw(
        st.lists(
            st.tuples(st.sampled_from(UNARY + BINARY + SHAPE), st.integers(0, 4), st.integers(0, 4)),
            min_size=1,
            max_size=9,
        )
    )
    return tuple(steps)


def apply(name, x, y):
    """One step on 2-D values; what does not fit is left out, so that every drawn program is one."""
    if name == "exp_small":
        return tw.exp(tw.clip(x, -4.0, 4.0))
    if name == "softmax":
        return tw.softmax(x, axis=-1)
    if name == "relu":
        return tw.maximum(x, 0.0)
    if name in UNARY:
        return getattr(tw, name)(x)
    if name == "transpose":
        return tw.transpose(x, (1, 0))
    if name in ("sum_keep", "max_keep", "mean_keep"):
        return getattr(tw, name.removesuffix("_keep"))(x, axis=-1, keepdims=True) * 0.25
    if name == "slice_tail":
        return x[-1:, :]
    if name == "flip":
        return tw.flip(x, axis=1)
    if name == "reshape_back":
        return tw.reshape(tw.reshape(x, (-1,)) * 0.5, x.shape)
    if name == "rms_norm":
        return x * tw.rsqrt(tw.mean(x * x, axis=-1, keepdims=True) + 1e-3)
    if name == "cumsum":
        return tw.cumsum(x, axis=1) * 0.25
    if name == "matmul_t":
        return x @ tw.transpose(y, (1, 0)) * 0.25 if same(x.shape[1], y.shape[1]) else x
    if name == "concat":
        return tw.concat([x, y], axis=1) if same(x.shape[0], y.shape[0]) else x
    if not fits(x.shape, y.shape):
        return x
    if name == "where":
        return tw.where(x > y, x, y)
    return getattr(tw, name)(x, y)


def same(a, b):
    return repr(a) == repr(b)


def fits(a, b):
    """Whether two shapes broadcast for certain: dynamic sizes equal only themselves."""
    return all(same(m, n) or same(m, 1) or same(n, 1) for m, n in zip(a, b))


def program_of(steps):
    def program(a, b, c):
        values = [a, b, c]
        for name, i, j in steps:
            values.append(apply(name, values[-1 - i % len(values)], values[-1 - j % len(values)]))
            # Products grow: keep every value within reach of float32.
            values[-1] = tw.clip(values[-1], -50.0, 50.0)
        return values[-1], values[-2]

    return program


# ---- the judgement ------------------------------------------------------------------------------------


def judge(traced, inputs):
    from tilewright.targets import base

    interp = base.find("interp")
    rounded = interp.run(traced.module, inputs)
    exact = interp.run(traced.module, inputs, float64=True)
    compiled = traced.lower("cpu").compile()(*inputs)
    for actual, near, reference in zip(compiled, rounded, exact):
        actual = np.asarray(actual)
        assert actual.shape == reference.shape and actual.dtype == near.dtype
        eps = dtypes.finfo(dtypes.of(actual)).eps
        size = np.max(np.abs(reference), initial=0.0)
        own = np.max(np.abs(near.astype(np.float64) - reference), initial=0.0)
        bound = 16 * own + 64 * eps * (size + 1.0)
        error = np.max(np.abs(actual.astype(np.float64) - reference), initial=0.0)
        assert error <= bound, (
            f"error {error:.3g}, allowed {bound:.3g} ({own:.3g} of it the program's own rounding)"
        )


def draw_inputs(seed, shapes, dtype):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtypes.by_name(dtype).numpy) for shape in shapes]


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@given(steps=programs(), m=SIZES, n=SIZES, seed=st.integers(0, 2**32 - 1))
def test_compiled_equals_reference(dynamic, steps, m, n, seed):
    shapes = [(m, n), (m, n), (1, n)]
    dims = (tw.Dim("m"), tw.Dim("n")) if dynamic else (m, n)
    traced = tw.jit(program_of(steps)).trace(
        *(tw.spec(shape, "float32") for shape in ((dims[0], dims[1]), (dims[0], dims[1]), (1, dims[1])))
    )
    note(traced.as_text())
    judge(traced, draw_inputs(seed, shapes, "float32"))


@given(steps=programs())
def test_text_and_bytecode_round_trip(steps):
    from tilewright.mlir import mlir
    from tilewright.programs import to_bytecode

    ir, context = mlir().ir, mlir().context
    m, n = tw.Dim("m"), tw.Dim("n")
    specs = tw.spec((m, n), "float32"), tw.spec((m, n), "float32"), tw.spec((1, n), "float32")
    traced = tw.jit(program_of(steps)).trace(*specs)
    text = traced.as_text()
    with context:
        again = ir.Module.parse(text)
        assert again.operation.verify()
        assert str(again) == str(ir.Module.parse(str(again)))
        binary = ir.Module.parse(to_bytecode(traced.module))
        assert str(binary) == str(again)
    inputs = draw_inputs(7, [(3, 5), (3, 5), (1, 5)], "float32")
    from tilewright.targets import base

    first, second = (base.find("interp").run(module, inputs) for module in (traced.module, again))
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b)


@given(steps=programs(), m=SIZES, n=SIZES)
def test_tracing_is_deterministic(steps, m, n):
    specs = [tw.spec(shape, "float32") for shape in ((m, n), (m, n), (1, n))]
    first, second = (tw.jit(program_of(steps)).trace(*specs).as_text() for _ in range(2))
    assert first == second
