"""cond, while, scan, check, and sizes as data (dim, from_index, to_index), on both targets."""

from __future__ import annotations

import numpy as np
import pytest
import tilewright as tw
from op_matrix import TARGETS, fresh_rng

N = tw.Dim("n", min=0)


def both(fn, *specs):
    traced = tw.jit(fn).trace(*specs)
    return [(name, traced.lower(name).compile()) for name in TARGETS]


@pytest.mark.parametrize("dynamic", [False, True])
def test_cond_takes_the_branch_of_the_flag(dynamic):
    x = fresh_rng().standard_normal(17).astype(np.float32)
    spec = tw.spec((N if dynamic else 17,), "float32")

    def program(p, x):
        scale = x * 2.0
        return tw.cond(p, lambda v: (v + scale, v.sum()), lambda v: (tw.exp(v), tw.max(v)), x)

    for name, run in both(program, tw.spec((), "bool"), spec):
        for flag in (True, False):
            first, second = run(np.bool_(flag), x)
            expected = (x + x * 2, x.sum()) if flag else (np.exp(x), x.max())
            np.testing.assert_allclose(first, expected[0], rtol=1e-6, err_msg=f"{name} {flag}")
            np.testing.assert_allclose(second, expected[1], rtol=1e-5, err_msg=f"{name} {flag}")


def test_cond_inside_cond_inside_while():
    def program(x, n):
        def body(state):
            i, v = state
            v = tw.cond(
                i % 2 == 0,
                lambda a: tw.cond(a.sum() > 4.0, lambda b: b * 0.5, lambda b: b + 1.0, a),
                lambda a: a - 0.25,
                v,
            )
            return i + 1, v

        return tw.while_loop(lambda s: s[0] < n, body, (np.int64(0), x))[1]

    for name, run in both(program, tw.spec((3,), "float32"), tw.spec((), "int64")):
        for count in (0, 1, 7):
            x = fresh_rng().standard_normal(3).astype(np.float32)
            expected = x.copy()
            for i in range(count):
                if i % 2:
                    expected = expected - np.float32(0.25)
                else:
                    expected = expected * np.float32(0.5) if expected.sum() > 4 else expected + np.float32(1)
            np.testing.assert_allclose(
                run(x, np.int64(count)), expected, rtol=1e-5, err_msg=f"{name} {count}"
            )


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bfloat16"])
def test_while_loop_runs_as_often_as_the_data_say(dtype):
    spec = tw.spec((), dtype)
    for name, run in both(lambda x: tw.while_loop(lambda v: v < 100, lambda v: v * 3, x), spec):
        for start in (1, 7, 200):
            expected = start
            while expected < 100:
                expected *= 3
            result = run(np.asarray(start, spec.dtype.numpy))
            assert float(result) == expected, name


def test_fori_loop_counts_and_carries_trees():
    def program(x, n):
        return tw.fori_loop(
            2, n, lambda i, s: {"sum": s["sum"] + x * i, "last": x - i}, {"sum": x * 0, "last": x}
        )

    for name, run in both(program, tw.spec((N,), "float32"), tw.spec((), "int64")):
        for size, count in ((1, 2), (5, 6), (16, 9)):
            x = fresh_rng().standard_normal(size).astype(np.float32)
            result = run(x, np.int64(count))
            np.testing.assert_allclose(result["sum"], x * sum(range(2, count)), rtol=1e-5, err_msg=name)
            np.testing.assert_allclose(
                result["last"], x - (count - 1) if count > 2 else x, rtol=1e-6, err_msg=name
            )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 1, 5, 17])
def test_scan_carries_and_stacks(length, reverse):
    rng = fresh_rng()
    xs, init = rng.standard_normal((length, 4)).astype(np.float32), rng.standard_normal(4).astype(np.float32)

    def program(init, xs):
        return tw.scan(lambda c, x: (c * 0.5 + x, (c, tw.sum(x))), init, xs, reverse=reverse)

    carry, before, sums = init, np.zeros((length, 4), np.float32), np.zeros(length, np.float32)
    for i in reversed(range(length)) if reverse else range(length):
        before[i], sums[i] = carry, xs[i].sum()
        carry = carry * np.float32(0.5) + xs[i]
    for name, run in both(program, tw.spec((4,), "float32"), tw.spec((N, 4), "float32")):
        last, (stacked, totals) = run(init, xs)
        np.testing.assert_allclose(last, carry, rtol=1e-5, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(stacked, before, rtol=1e-5, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(totals, sums, rtol=1e-5, atol=1e-5, err_msg=name)


def test_scan_over_nothing_but_a_length():
    for name, run in both(lambda x: tw.scan(lambda c, _: (c * 2, c), x, length=4), tw.spec((), "float32")):
        last, seen = run(np.float32(1.5))
        assert float(last) == 24 and np.asarray(seen).tolist() == [1.5, 3, 6, 12], name


def test_sizes_are_data():
    """dim, from_index and to_index: a size in arithmetic, and a value as an offset."""

    def program(x, i):
        mean = tw.sum(x) / tw.astype(tw.asarray(x.shape[0]), "float32")
        return mean, x[i], tw.dynamic_slice(x, (i,), (2,))

    for name, run in both(program, tw.spec((N,), "float32"), tw.spec((), "int64")):
        for size in (2, 5, 33):
            x = fresh_rng().standard_normal(size).astype(np.float32)
            mean, one, two = run(x, np.int64(1 if size > 2 else 0))
            start = 1 if size > 2 else 0
            np.testing.assert_allclose(mean, x.mean(), rtol=1e-5, atol=1e-6, err_msg=name)
            np.testing.assert_array_equal(one, x[start])
            np.testing.assert_array_equal(two, x[start : start + 2])


def test_check_fails_where_it_stands():
    def program(x):
        tw.check(tw.all(x > 0), "x must be positive")
        return tw.sqrt(x)

    for name, run in both(program, tw.spec((N,), "float32")):
        x = np.array([1, 4], np.float32)
        np.testing.assert_array_equal(run(x), [1, 2])
        with pytest.raises(tw.CheckError, match="x must be positive") as info:
            run(-x)
        assert info.value.loc is not None, name
        assert "tw.check(" in info.value.loc.text, name
        np.testing.assert_array_equal(run(x), [1, 2])


def test_gather_checks_its_indices_where_asked():
    program = lambda x, i: tw.take(x, i, axis=0, mode="raise")  # noqa: E731
    for name, run in both(program, tw.spec((N, 3), "float32"), tw.spec((4,), "int64")):
        x = fresh_rng().standard_normal((5, 3)).astype(np.float32)
        indices = np.array([0, -1, 4, -5])
        np.testing.assert_array_equal(run(x, indices), x[indices])
        for bad in (5, -6, 2**40):
            with pytest.raises(tw.IndexRangeError, match="out of range"):
                run(x, np.array([0, 1, bad, 2]))
        np.testing.assert_array_equal(run(x, indices), x[indices], err_msg=name)


def test_a_while_loop_of_two_sizes_results_in_the_second():
    """The first carried value is dropped after the loop: sizes and memory follow the one that is left."""

    def program(a, b):
        def body(carried):
            _, y = carried
            return a + tw.sum(y), y + 1

        return tw.while_loop(lambda c: tw.sum(c[0]) + tw.sum(c[1]) < 50, body, (a, b))[1]

    specs = tw.spec((tw.Dim("n"),), "float32"), tw.spec((tw.Dim("m"),), "float32")
    compiled = tw.jit(program).lower(*specs).compile()
    for n, m in ((5, 7), (7, 5), (1, 40), (300, 3)):
        a, b = np.ones(n, np.float32), np.ones(m, np.float32)
        x, y = a, b
        while x.sum() + y.sum() < 50:
            x, y = a + y.sum(), y + 1
        np.testing.assert_array_equal(compiled(a, b), y)
