"""Tracing: what the module looks like, where ops say they come from, what sizes and captures become."""

from __future__ import annotations

import dataclasses
import inspect
import time
from typing import NamedTuple

import numpy as np
import pytest
import tilewright as tw


def traced(fn, *specs, **options):
    return tw.jit(fn, **options).trace(*specs)


def line_of(fn, text):
    lines, first = inspect.getsourcelines(fn)
    return next(first + i for i, line in enumerate(lines) if text in line)


# ---- the module ---------------------------------------------------------------------------------------


def test_module_form():
    n = tw.Dim("n", min=2, max=64, multiple_of=2)

    def f(x, params):
        return x @ params["w"]

    text = traced(f, tw.spec((n, 8)), {"w": tw.spec((8, 3))}, weight_argnums=1, donate_argnums=0).as_text()
    assert 'tw.stage = "traced"' in text
    assert "tw.dim_symbol @n {max = 64 : i64, min = 2 : i64, multiple_of = 2 : i64}" in text
    assert '%arg0: tensor<?x8xf32> {tw.dims = ["n", ""], tw.donate, tw.name = "x"}' in text
    assert 'tw.name = "params.w", tw.weight = "params.w"' in text


def test_same_program_gives_the_same_bytes():
    from tilewright.programs import to_bytecode

    f = tw.jit(lambda x: tw.softmax(x * 2.0) + np.arange(4, dtype="f"))
    a, b = (f.trace(tw.spec((3, 4))) for _ in range(2))
    assert a.as_text(locations=True) == b.as_text(locations=True)
    assert to_bytecode(a.module) == to_bytecode(b.module)


def test_every_op_knows_the_users_line_column_and_function():
    def model(x):
        y = tw.exp(x)
        return np.sin(y).sum()

    text = traced(model, tw.spec((4,))).as_text(locations=True)
    for needle in ("tw.exp(x)", "np.sin(y)"):
        assert f'{__file__}":{line_of(model, needle)}:' in text
    assert 'loc("model"(' in text
    assert "site-packages" not in text and "tilewright/ops" not in text


def test_unused_arguments_are_kept():
    text = traced(lambda x, unused: x + 1, tw.spec((4,)), tw.spec((5,), "int8")).as_text()
    assert "tensor<5xi8>" in text


def test_small_arrays_are_embedded_and_large_ones_are_weights():
    small, large = np.arange(8, dtype="f"), np.ones((32, 32), "f")
    program = traced(lambda x: (x + small) @ large[:8] + large[0], tw.spec((2, 8))).program
    assert [a.name for a in program.arguments] == ["x", "const_0"] or len(program.constants) <= 2
    program = traced(lambda x: x @ large + tw.sum(large), tw.spec((2, 32))).program
    assert list(program.constants) == ["const_0"]
    assert program.constants["const_0"] is large
    assert program.arguments[1].weight


def test_constants_keep_their_values_in_every_dtype():
    for name in ("bool", "int8", "uint8", "int64", "uint64", "float16", "bfloat16", "float32", "float64"):
        dtype = tw.dtypes.of(name).numpy
        array = np.array([0, 1, 1, 0, 1]).astype(dtype)
        out = tw.jit(lambda a=array: tw.asarray(a), target="interp")()
        np.testing.assert_array_equal(out, array)
        assert out.dtype == dtype


# ---- trees --------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    a: object
    b: object


@tw.register_dataclass
@dataclasses.dataclass
class Layer:
    weight: object
    bias: object


def test_trees_of_inputs_and_outputs():
    def f(tree, layer):
        x, (y, none) = tree["x"], tree["rest"]
        assert none is None
        return Pair(layer.weight + x, [y, {"b": layer.bias, "n": None}])

    x = np.float32([1, 2])
    out = tw.jit(f, target="interp")({"x": x, "rest": (x, None)}, Layer(x, x * 3))
    assert isinstance(out, Pair) and isinstance(out.b, list)
    np.testing.assert_array_equal(out.a, x * 2)
    np.testing.assert_array_equal(out.b[1]["b"], x * 3)
    assert out.b[1]["n"] is None


def test_outputs_may_be_inputs_constants_and_repeated():
    out = tw.jit(lambda x: (x, x, 3.0, np.int8([1])), target="interp")(np.float32([1, 2]))
    np.testing.assert_array_equal(out[0], out[1])
    assert out[2] == 3.0 and out[3].dtype == np.int8


# ---- sizes --------------------------------------------------------------------------------------------


def test_sizes_are_symbols_with_arithmetic():
    n, m = tw.Dim("n"), tw.Dim("m", multiple_of=4)

    def f(x, y):
        a, b = x.shape[0], y.shape[0]
        assert a + b == b + a and 2 * a - a == a and b // 4 * 4 == b and b % 2 == 0
        assert str(a + 2 * b) == "n + 2*m" or str(a + 2 * b) == "2*m + n"
        assert (a * b) // a == b
        assert b >= 4 and a > 0
        return tw.concat([x, y]), y.reshape(b // 4, 4), tw.zeros((a + b,)) + b / a

    outputs = traced(f, tw.spec((n,)), tw.spec((m,))).outputs
    assert str(outputs[0]) in ("float32[n + m]", "float32[m + n]")
    assert outputs[1].shape[1] == 4


def test_sizes_reach_results():
    f = tw.jit(lambda x: x.reshape(-1).reshape(x.shape[1], x.shape[0]) * x.shape[0], target="interp")
    compiled = f.compile(tw.spec((tw.Dim("a"), tw.Dim("b"))))
    for shape in ((2, 3), (5, 1)):
        x = np.arange(np.prod(shape), dtype="f").reshape(shape)
        np.testing.assert_array_equal(compiled(x), x.reshape(shape[::-1]) * shape[0])


@pytest.mark.parametrize(
    "use",
    [
        lambda n: n == 5,
        lambda n: n < 7,
        lambda n: int(n),
        lambda n: range(n),
        lambda n: float(n),
        lambda n: [0] * n,
    ],
)
def test_a_size_has_no_value_while_tracing(use):
    with pytest.raises(tw.TracerError, match="only known at the call"):
        traced(lambda x: use(x.shape[0]), tw.spec((tw.Dim("n"),)))


def test_mixed_sizes_name_where_they_come_from():
    with pytest.raises(tw.ShapeError) as info:
        traced(lambda x, y: x + y, tw.spec((None, 4)), tw.spec((None, 4)))
    assert "dim 0 of argument 'x'" in str(info.value) and "dim 0 of argument 'y'" in str(info.value)


def test_one_name_two_bounds():
    with pytest.raises(tw.ArgumentError, match="different bounds"):
        traced(lambda x, y: x, tw.spec((tw.Dim("n"),)), tw.spec((tw.Dim("n", max=4),)))


# ---- indexing -----------------------------------------------------------------------------------------

KEYS = [
    np.s_[0], np.s_[-1, 2], np.s_[1:3], np.s_[::-1], np.s_[4:0:-2, ::3], np.s_[..., 0], np.s_[None, :, 1, None],
    np.s_[:, -2:], np.s_[1:1], np.s_[:99, -99:2], np.s_[np.array([2, 0, -1])], np.s_[:, np.array([[1], [3]])],
    np.s_[2:4, ..., ::-1], np.s_[()], np.s_[...],
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_means_what_numpy_means(key):
    x = np.arange(30, dtype="f").reshape(5, 6)
    np.testing.assert_array_equal(tw.jit(lambda a: a[key], target="interp")(x), x[key])


@pytest.mark.parametrize("step", [-1, -2, -3])
def test_negative_steps_on_an_axis_of_any_size(step):
    compiled = traced(lambda x: x[:, ::step], tw.spec((2, tw.Dim("n")))).lower("cpu").compile()
    for size in range(1, 9):
        x = np.arange(2 * size, dtype="f").reshape(2, size)
        np.testing.assert_array_equal(compiled(x), x[:, ::step])


def test_traced_positions():
    x = np.arange(12, dtype="f").reshape(4, 3)
    f = tw.jit(lambda a, i: a[i], target="interp")
    for i in (0, 3, -1, -4):
        np.testing.assert_array_equal(f(x, np.int64(i)), x[i])


def test_dynamic_slice_and_update_clamp():
    x = np.arange(12, dtype="f").reshape(4, 3)
    out = tw.jit(lambda a, i: tw.dynamic_slice(a, (i, 0), (2, 3)), target="interp")(x, np.int32(9))
    np.testing.assert_array_equal(out, x[2:4])
    out = tw.jit(lambda a, i: tw.update_slice(a, a[:1] * 0, (i, 0)), target="interp")(x, np.int32(1))
    np.testing.assert_array_equal(out, np.where(np.arange(4)[:, None] == 1, 0, x))


# ---- cost ---------------------------------------------------------------------------------------------


@pytest.mark.alone
def test_tracing_is_cheap():
    """In processor time: what else runs on the machine does not count."""

    def two(x, y):
        return tw.exp(x) + y

    f = tw.jit(two)
    f.trace(tw.spec((4,)), tw.spec((4,)))
    seconds = []
    for _ in range(20):
        started = time.process_time()
        f.trace(tw.spec((4,)), tw.spec((4,)))
        seconds.append(time.process_time() - started)
    assert min(seconds) < 5e-3

    def many(x):
        for _ in range(2000):
            x = x + x
        return x

    g = tw.jit(many)
    rounds = []
    for _ in range(3):
        started = time.process_time()
        g.trace(tw.spec((4, 4)))
        rounds.append(time.process_time() - started)
    assert min(rounds) / 2000 < 60e-6
