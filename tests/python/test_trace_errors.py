"""Errors while tracing: promotion, leaks, and where they point. The long table of mistakes is test_bad_input.py."""

from __future__ import annotations

import traceback

import numpy as np
import pytest
import tilewright as tw


def traced(fn, *specs):
    return tw.jit(fn).trace(*specs)


def test_the_error_is_on_the_users_line_without_our_frames():
    def model(h, weight):
        return tw.rms_norm(h, weight)

    with pytest.raises(tw.ShapeError) as info:
        traced(model, tw.spec((4, 256)), tw.spec((128,)))
    text = str(info.value)
    assert "rms_norm: weight has shape [128], expected [256] (last dim of x [4, 256])" in text
    assert "in model()" in text and "return tw.rms_norm(h, weight)" in text and "help:" in text
    files = [f.filename for f in traceback.extract_tb(info.value.__traceback__)]
    assert all(name == __file__ for name in files), files


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("float32", "float64", "float64"),
        ("int8", "uint8", "int16"),
        ("int32", "int64", "int64"),
        ("float16", "float32", "float32"),
        ("bfloat16", "float32", "float32"),
        ("bool", "bool", None),
    ],
)
def test_promotion_follows_the_array_api(a, b, expected):
    specs = tw.spec((2,), a), tw.spec((2,), b)
    if expected is None:
        with pytest.raises(tw.DTypeError):
            traced(lambda x, y: x + y, *specs)
    else:
        assert traced(lambda x, y: x + y, *specs).outputs[0].dtype == expected


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_python_numbers_are_weak(dtype):
    x = tw.spec((2,), dtype)
    assert traced(lambda v: 1 + v * 2.5 - True if False else 1 + v * 2.5, x).outputs[0].dtype == dtype
    assert traced(lambda v: v * v.shape[0], tw.spec((None,), dtype)).outputs[0].dtype == dtype


def test_python_numbers_as_arguments_are_weak():
    out = tw.jit(lambda x, s: x * s, target="interp")(np.float32([1, 2]), 0.1)
    assert out.dtype == np.float32
    out = tw.jit(lambda x, s: x * s, target="interp")(np.float64([1, 2]), 0.1)
    np.testing.assert_array_equal(out, np.float64([1, 2]) * 0.1)


@pytest.mark.parametrize("number", [300, -1])
def test_numbers_that_do_not_fit(number):
    with pytest.raises(tw.DTypeError, match="does not fit uint8"):
        traced(lambda x: x + number, tw.spec((2,), "uint8"))


def test_a_value_of_a_branch_does_not_leave_it():
    kept = []

    def branch(v):
        kept.append(v * 2)
        return v

    with pytest.raises(tw.TracerError, match="made inside a branch or loop body"):
        traced(lambda p, x: tw.cond(p, branch, branch, x) + kept[0], tw.spec((), "bool"), tw.spec((2,)))


def test_a_value_of_another_trace():
    def outer(x):
        return tw.jit(lambda y: y + 1).trace(tw.spec((2,))) and x

    traced(outer, tw.spec((2,)))  # tracing inside a trace is fine

    def leaking(x):
        return tw.jit(lambda y: y + x).trace(tw.spec((2,)))

    with pytest.raises(tw.TracerError, match="inside another trace"):
        traced(leaking, tw.spec((2,)))


def test_an_error_in_the_users_code_passes_unchanged():
    def model(x):
        return {}["missing"]

    with pytest.raises(KeyError) as info:
        traced(model, tw.spec((2,)))
    assert [f.filename for f in traceback.extract_tb(info.value.__traceback__)] == [__file__] * 3


def test_a_failed_trace_leaves_nothing_behind():
    from tilewright import values

    with pytest.raises(tw.ShapeError):
        traced(lambda x: tw.scan(lambda c, y: (c @ y, None), x, x), tw.spec((2, 3)))
    assert values.current() is None
    assert traced(lambda x: x + 1, tw.spec((2,))).outputs[0].shape == (2,)


@pytest.mark.parametrize(
    ("use", "phrase"),
    [
        (lambda x: bool(x), "tw.cond"),
        (lambda x: [1, 2][x.sum().astype("int32")], "x\\[i\\]"),
        (lambda x: list(tw.zeros((x.shape[0],)) + x), "tw.scan"),
        (lambda x: len(x), "not static"),
        (lambda x: np.asarray(x), "NumPy array"),
        (lambda x: x[x > 0], "boolean mask"),
        (lambda x: x[:, 0], "rank 1"),
        (lambda x: x[1.5], "integer"),
        (lambda x: np.linalg.svd(x), "numpy.svd is not supported"),
        (lambda x: np.add(x, 1, out=np.zeros(3)), "in place"),
        (lambda x: tw.reshape(x, (3, -1)), "does not divide"),
        (lambda x: x[x.sum().astype("int32") :], "dynamic_slice"),
        (lambda x: tw.zeros((x.sum(),)), "cannot be a size"),
        (lambda x: tw.arange(x.sum()), "bound"),
    ],
)
def test_what_needs_numbers_names_what_to_use(use, phrase):
    with pytest.raises(tw.TilewrightError, match=phrase):
        traced(use, tw.spec((None,)))


def test_lists_are_not_arrays():
    with pytest.raises(tw.DTypeError, match=r"np\.asarray"):
        traced(lambda x: x + [1, 2], tw.spec((2,)))
