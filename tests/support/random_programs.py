"""A small grammar of programs on 2-D values, and the judgement of what they compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tilewright as tw
from hypothesis import strategies as st
from tilewright import dtypes
from tilewright.targets import base

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
    "take_rows",
    "last_column",
    "column_as_row",
    "every_other",
    "whole_max",
    "standardise",
    "logsumexp_keep",
    "tril",
    "causal_softmax",
    "roll",
    "tile",
    "pad_low",
    "write_row",
    "stack_sum",
    "distances",
    "column_sums",
    "add_rows",
)
CONTROL = ("loop", "branch", "carry_both", "scan_rows", "choose")
SIZES = st.sampled_from([1, 2, 3, 5, 8, 15, 16, 17, 33])


@st.composite
def programs(draw):
    """A list of steps: (name, operand positions); positions count back from the last value."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(UNARY + BINARY + SHAPE + CONTROL), st.integers(0, 4), st.integers(0, 4)
            ),
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
    if name == "last_column":
        return x[:, -1:]
    if name == "column_as_row":
        return tw.reshape(x[:, 0], (1, x.shape[0]))
    if name == "every_other":
        return x[:, ::2]
    if name == "flip":
        return tw.flip(x, axis=1)
    if name == "reshape_back":
        return tw.reshape(tw.reshape(x, (-1,)) * 0.5, x.shape)
    if name == "rms_norm":
        return x * tw.rsqrt(tw.mean(x * x, axis=-1, keepdims=True) + 1e-3)
    if name == "cumsum":
        return tw.cumsum(x, axis=1) * 0.25
    if name == "take_rows":
        return tw.take(x, tw.arange(3) % 2, axis=0, mode="clip")
    if name == "whole_max":
        return x - tw.max(x) * 0.5
    if name == "standardise":
        return (x - tw.mean(x, axis=0, keepdims=True)) / (tw.std(x, axis=0, keepdims=True) + 0.5)
    if name == "logsumexp_keep":
        return tw.logsumexp(x, axis=-1, keepdims=True)
    if name == "tril":
        return tw.tril(x)
    if name == "causal_softmax":
        visible = tw.iota(x.shape, 1) <= tw.iota(x.shape, 0)
        return tw.softmax(tw.where(visible, x, float("-inf")), axis=-1)
    if name == "roll":
        return tw.roll(x, 1, axis=-1)
    if name == "tile":
        return tw.tile(x, (1, 2))
    if name == "pad_low":
        return tw.pad(x, ((1, 0), (0, 1)))
    if name == "write_row":
        return tw.update_slice(x, x[-1:, :] * 0.5, (0, 0))
    if name == "stack_sum":
        return tw.sum(tw.stack([x, tw.flip(x, axis=0), x], axis=1), axis=1)
    if name == "distances":
        if not same(x.shape[1], y.shape[1]):
            return x
        return tw.sum(tw.square(tw.expand_dims(x, 1) - tw.expand_dims(y, 0)), axis=-1) * 0.05
    if name == "column_sums":
        return tw.sum(x, axis=0, keepdims=True) * 0.1
    if name == "add_rows":
        return tw.scatter(x, tw.arange(2) * 0, x[-1:, :] * tw.ones((2, 1)), axis=0, kind="add")
    if name == "carry_both":
        # Both results: buffers of their own sizes go round, and the loop's count depends on nothing known beforehand.
        count = tw.astype(tw.sum(x) > 0.0, "int32") + 1
        _, p, q = tw.while_loop(
            lambda c: c[0] < count, lambda c: (c[0] + 1, tw.tanh(c[1]) + tw.mean(c[2]), c[2] * 0.5), (0, x, y)
        )
        return p + tw.sum(q) * 0.01
    if name == "scan_rows":
        total, rows = tw.scan(lambda c, row: (c * 0.5 + row, c + row), x[0], x)
        return rows + total
    if name == "choose":
        index = tw.astype(tw.sum(x) > 0.0, "int32")
        return tw.switch(index, [tw.tanh, lambda v: v * 0.5 + 1.0], x)
    if name == "loop":
        return tw.fori_loop(0, 2, lambda i, v: tw.tanh(v) + y if fits_into(y.shape, x.shape) else v * 0.5, x)
    if name == "branch":
        return tw.cond(tw.sum(x) > 0.0, lambda v: v * 2.0, tw.negative, x)
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


def fits_into(a, b):
    """Whether a shape broadcasts to another for certain."""
    return all(same(m, n) or same(m, 1) for m, n in zip(a, b))


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


class Judge:
    """The reference runs twice, rounding each operation to the program's dtype and not rounding at all. What lies
    between the two is how much the program itself amplifies rounding; compiled code must stay within a small multiple.
    """

    def __init__(self, module: Any, inputs: Sequence[np.ndarray]):
        interp = base.find("interp")
        self.rounded = interp.run(module, inputs)
        self.exact = interp.run(module, inputs, float64=True)

    def check(self, results: Sequence[Any], who: str = "compiled code") -> None:
        assert len(results) == len(self.exact)
        for actual, near, reference in zip(results, self.rounded, self.exact):
            actual = np.asarray(actual)
            assert actual.shape == reference.shape and actual.dtype == near.dtype, who
            eps = dtypes.finfo(dtypes.of(actual)).eps
            size = np.max(np.abs(reference), initial=0.0)
            own = np.max(np.abs(near.astype(np.float64) - reference), initial=0.0)
            bound = 16 * own + 64 * eps * (size + 1.0)
            error = np.max(np.abs(actual.astype(np.float64) - reference), initial=0.0)
            # Not `error > bound`: NaN is an error, too.
            assert error <= bound, (
                f"{who}: error {error:.3g}, allowed {bound:.3g} ({own:.3g} of it the program's own rounding)"
            )


def draw_inputs(seed, shapes, dtype):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtypes.by_name(dtype).numpy) for shape in shapes]
