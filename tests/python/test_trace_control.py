"""Control flow: what is carried, what is captured, and mismatches. Numbers are checked on all targets in e2e."""

from __future__ import annotations

import numpy as np
import pytest
import tilewright as tw

F4 = tw.spec((4,), "float32")


def run(fn, *args):
    return tw.jit(fn, target="interp")(*args)


X = np.float32([1, 2, 3, 4])


def test_closures_become_operands():
    def f(x, y):
        return tw.cond(x[0] > 0, lambda: x + y, lambda: x - y)

    np.testing.assert_array_equal(run(f, X, X), X + X)
    np.testing.assert_array_equal(run(f, -X, X), -X - X)


def test_branches_may_return_outer_values_and_constants():
    def f(x):
        return tw.cond(x[0] > 0, lambda v: {"a": x, "b": 1.0}, lambda v: {"a": v * 2, "b": 2.0}, x)

    assert run(f, X)["b"] == 1.0
    np.testing.assert_array_equal(run(f, -X)["a"], -X * 2)


def test_switch_clamps():
    def f(i, x):
        return tw.switch(i, [lambda v: v, lambda v: v * 10, lambda v: v * 100], x)

    for i, factor in ((-5, 1), (0, 1), (1, 10), (2, 100), (9, 100)):
        np.testing.assert_array_equal(run(f, np.int32(i), X), X * factor)


def test_while_captures_in_condition_and_body():
    def f(limit, step):
        return tw.while_loop(lambda s: s[0] < limit, lambda s: (s[0] + step, s[1] + 1), (0, 0))

    total, count = run(f, np.int64(10), np.int64(3))
    assert total == 12 and count == 4


def test_fori_loop_static_and_traced_bounds():
    assert run(lambda x: tw.fori_loop(2, 5, lambda i, c: c + i * x, tw.zeros(())), np.float32(2)) == 18
    assert run(lambda n: tw.fori_loop(0, n, lambda i, c: c + i, 0), np.int64(5)) == 10
    assert run(lambda x: tw.fori_loop(3, 3, lambda i, c: c + i, 7), X) == 7
    np.testing.assert_array_equal(run(lambda x: tw.fori_loop(0, 3, lambda i, c: c + x[i], x), X), X + 6)


def test_scan_over_trees_reversed_and_without_xs():
    def f(x):
        last, ys = tw.scan(
            lambda c, s: (c + s["a"] * s["b"], {"c": c}), 0.0, {"a": x, "b": x * 2}, reverse=True
        )
        return last, ys["c"], tw.scan(lambda c, _: (c * 2, None), x, length=3)[0]

    last, before, doubled = run(f, X)
    assert last == (X * X * 2).sum()
    np.testing.assert_array_equal(before, [58, 50, 32, 0])
    np.testing.assert_array_equal(doubled, X * 8)


def test_nested_loops_capture_through_levels():
    def f(x):
        def outer(i, c):
            return tw.fori_loop(0, 2, lambda j, d: d + x * i, c)

        return tw.fori_loop(0, 3, outer, x)

    np.testing.assert_array_equal(run(f, X), X + X * 6)


def test_sizes_inside_regions():
    n = tw.Dim("n")

    def f(x, p):
        return tw.cond(
            p, lambda: tw.zeros((x.shape[0] + 1,)) + x.shape[0], lambda: tw.ones((x.shape[0] + 1,))
        )

    compiled = tw.jit(f, target="interp").compile(tw.spec((n,)), tw.spec((), "bool"))
    np.testing.assert_array_equal(compiled(X, True), np.full(5, 4))
    np.testing.assert_array_equal(compiled(X[:2], False), np.ones(3))


def test_regions_verify_with_captures_in_every_order():
    big = np.ones((32, 32), "f")

    def f(x, w):
        def body(c, s):
            inner = tw.cond(tw.sum(c) > 0, lambda: c @ tw.asarray(big), lambda: c + s * x.shape[0])
            return inner, (s, inner.sum())

        return tw.scan(body, w, x)

    text = tw.jit(f).trace(tw.spec((tw.Dim("n"), 32)), tw.spec((32,))).as_text()
    assert text.count("tw.cond") == 1 and text.count("tw.scan") == 1


@pytest.mark.parametrize(
    ("fn", "cls", "phrase"),
    [
        (lambda x: tw.while_loop(lambda c: c.sum() < 9, lambda c: c.astype("float64"), x), tw.DTypeError,
         r"float32\[4\] before the body and float64\[4\] after"),
        (lambda x: tw.scan(lambda c, s: ((c, c), s), x, x), tw.ShapeError, "structure"),
        (lambda x: tw.scan(lambda c, s: c, x, x), tw.ArgumentError, r"\(carry, y\)"),
        (lambda x: tw.scan(lambda c, s: (c, s), x), tw.ArgumentError, "xs or length"),
        (lambda x: tw.scan(lambda c, s: (c, None), x, (x, x[:2])), tw.ShapeError, "leading sizes"),
        (lambda x: tw.cond(x > 0, lambda: x, lambda: x), tw.ShapeError, "tw.where"),
        (lambda x: tw.cond(x[0] > 0, lambda: x, lambda: (x, x)), tw.ShapeError, "structures"),
        (lambda x: tw.cond(x[0] > 0, lambda: x, lambda: x.astype("int32")), tw.DTypeError, "true branch"),
        (lambda x: tw.while_loop(lambda c: c, lambda c: c, x), tw.DTypeError, "bool"),
        (lambda x: tw.while_loop(lambda c: c > 0, lambda c: c, x), tw.ShapeError, "0-d"),
        (lambda x: tw.fori_loop(0, 3, lambda i, c: c[:2], x), tw.ShapeError, "fori_loop"),
        (lambda x: tw.switch(x[0], [lambda: x]), tw.DTypeError, "integer"),
        (lambda x: tw.switch(tw.argmax(x), []), tw.ArgumentError, "no branch"),
        (lambda x: tw.check(x > 0, "positive"), tw.ShapeError, "tw.all"),
    ],
)  # fmt: skip
def test_mismatches(fn, cls, phrase):
    with pytest.raises(cls, match=phrase):
        tw.jit(fn).trace(F4)
