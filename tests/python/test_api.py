"""`tw.jit` and what it returns, on the reference target; speed and compiled code have their own tests."""

from __future__ import annotations

import functools
import logging

import numpy as np
import pytest
import tilewright as tw

jit = functools.partial(tw.jit, target="interp")


def ones(*shape):
    return np.ones(shape, "f")


# ---- ways to write it ---------------------------------------------------------------------------------


def test_with_and_without_parentheses_and_wraps():
    @tw.jit(target="interp")
    def first(x):
        """Doc."""
        return x + 1

    second = tw.jit(first, target="interp")
    assert first.__name__ == "first" and first.__doc__ == "Doc." and first.__wrapped__(1) == 2
    assert first(1.0) == second(1.0) == 2.0


def test_methods_have_a_static_self():
    class Model:
        def __init__(self, factor):
            self.factor = factor

        @tw.jit(target="interp")
        def scale(self, x, *, bias=None):
            return x * self.factor + (0.0 if bias is None else bias)

    a, b = Model(2.0), Model(3.0)
    assert a.scale(ones(2)).sum() == 4 and b.scale(ones(2)).sum() == 6
    assert a.scale(ones(2), bias=ones(2)).sum() == 6


def test_a_jitted_function_inside_another_is_inlined():
    inner = jit(lambda x: x * 2)
    outer = jit(lambda x: inner(x) + inner(x + 1))
    assert outer(1.0) == 6.0
    assert inner.cache_info().currsize == 0


def test_partial_and_callable_objects():
    class Adder:
        def __call__(self, x):
            return x + 5

    assert jit(Adder())(1.0) == 6
    assert jit(functools.partial(lambda a, x: a * x, 3))(2.0) == 6


# ---- arguments ----------------------------------------------------------------------------------------


def test_static_arguments_by_position_and_name():
    calls = []

    @tw.jit(target="interp", static_argnums=1, static_argnames="mode")
    def f(x, n, *, mode="a"):
        calls.append((n, mode))
        return x * n if mode == "a" else x

    assert f(2.0, 3) == 6 and f(2.0, 3) == 6 and f(2.0, n=3) == 6
    assert f(2.0, 4, mode="b") == 2
    assert calls.count((3, "a")) == 2  # positional and by keyword are two structures
    assert f.cache_info().currsize == 3


def test_static_types_are_told_apart():
    f = jit(lambda x, n: x + 0.0 if n is True else x + 10.0, static_argnums=1)
    assert f(1.0, True) == 1 and f(1.0, 1) == 11


def test_varargs_and_keywords():
    f = jit(lambda *xs, **ys: sum(xs) + ys["b"] * 10)
    assert f(1.0, 2.0, b=3.0, a=0.0) == 33


def test_options_are_checked():
    with pytest.raises(tw.ArgumentError, match="no parameter 'modes'"):
        tw.jit(lambda x, mode: x, static_argnames="modes")
    with pytest.raises(tw.ArgumentError, match="expected a function"):
        tw.jit(3)


def test_weights_are_bound_once_per_array():
    f = jit(lambda w, x: x @ w["a"] + w["b"], weight_argnums=0)
    weights = {"a": ones(3, 2), "b": ones(2)}
    assert f(weights, ones(1, 3)).sum() == 8
    assert f({"a": weights["a"] * 2, "b": weights["b"]}, ones(1, 3)).sum() == 14
    assert f(weights, ones(1, 3)).sum() == 8
    assert f.cache_info().currsize == 1


# ---- signatures ---------------------------------------------------------------------------------------


def test_the_second_size_makes_a_dim_dynamic(caplog):
    traces = []

    @tw.jit(target="interp")
    def f(x, y):
        traces.append(x.shape)
        return x + y

    with caplog.at_level(logging.INFO, "tilewright.recompiles"):
        for n in (4, 8, 16, 32, 4):
            assert f(ones(n, 3), ones(n, 3)).shape == (n, 3)
    assert len(traces) == 2
    info = f.cache_info()
    assert info.currsize == 2 and info.misses == 2 and info.hits == 3
    assert "'x' dim 0 was 4, now 8" in info.reasons[0] and "'y' dim 0" in info.reasons[0]
    assert "f: recompiled: 'x' dim 0 was 4, now 8" in caplog.text


def test_sizes_that_change_apart_get_names_of_their_own():
    f = jit(lambda x, y: x.sum() + y.sum())
    for a, b in ((2, 3), (4, 3), (4, 5), (7, 9)):
        assert f(ones(a), ones(b)) == a + b
    assert f.cache_info().currsize == 3


def test_sizes_of_one_stay_static():
    f = jit(lambda x, y: x + y)
    for n in (3, 4, 1, 5, 1):
        assert f(ones(n, 2), ones(3 if n == 3 else 1, 2)).shape == (n, 2)
    np.testing.assert_array_equal(f(ones(1, 2), ones(5, 2)), np.full((5, 2), 2))


def test_a_function_that_needs_its_sizes_has_one_program_for_each():
    f = jit(lambda x: x.reshape(2, -1) if x.shape[0] % 2 == 0 else x.reshape(1, -1))
    assert [f(ones(n)).shape for n in (4, 6, 7, 6)] == [(2, 2), (2, 3), (1, 7), (2, 3)]
    assert f.cache_info().currsize == 3
    assert any(reason.startswith("static for") for reason in f.cache_info().reasons)


def test_dynamic_true_and_false():
    f, g = jit(lambda x: x + 1, dynamic=True), jit(lambda x: x + 1, dynamic=False)
    for n in (2, 3, 4):
        f(ones(n)), g(ones(n))
    assert f.cache_info().currsize == 1 and g.cache_info().currsize == 3
    assert "dynamic=False" in g.cache_info().reasons[0]


def test_other_dtypes_and_structures_say_so():
    f = jit(lambda x: x["a"] + 1 if isinstance(x, dict) else x + 1)
    f(ones(2)), f(np.ones(2)), f({"a": ones(2)})
    assert "dtype" in f.cache_info().reasons[0] and "structure" in f.cache_info().reasons[1]
    f.cache_clear()
    assert f.cache_info().currsize == 0


# ---- stages -------------------------------------------------------------------------------------------


def test_stages_and_their_text():
    f = tw.jit(lambda x: tw.exp(x) * 2)
    traced = f.trace(tw.spec((None, 4)))
    assert "tw.exp" in traced.as_text() and "loc(" not in traced.as_text()
    assert "loc(" in traced.as_text(locations=True)
    lowered = traced.lower("interp")
    assert lowered.as_text() == traced.as_text()
    with pytest.raises(tw.ArgumentError, match="no stage 'nope'"):
        lowered.as_text("nope")
    compiled = lowered.compile()
    assert compiled(ones(2, 4)).shape == (2, 4)
    assert "<lambda>" in repr(compiled) and "float32[?, 4]" in repr(compiled)
    assert "float32[d0, 4]" in repr(traced)


def test_compiled_checks_structure_and_arguments():
    n = tw.Dim("n", max=8)
    compiled = jit(lambda x, y: x + y["a"]).compile(tw.spec((n,)), {"a": tw.spec((n,))})
    with pytest.raises(tw.ArgumentError, match="compiled for arguments"):
        compiled(ones(2), ones(2))
    with pytest.raises(tw.ShapeError, match="argument 'x' compiled for"):
        compiled(ones(9), {"a": ones(9)})
    with pytest.raises(tw.ShapeError, match=r"'y\.a'.*n is 2"):
        compiled(ones(2), {"a": ones(3)})
    with pytest.raises(tw.DTypeError, match="float32"):
        compiled(np.ones(2), {"a": ones(2)})


def test_bind_takes_names_or_the_tree():
    f = jit(lambda x, w: x @ w["layers"][0]["k"], weight_argnums=1)
    compiled = f.compile(tw.spec((2, 3)), {"layers": [{"k": tw.spec((3, 4))}]})
    tree = {"layers": [{"k": ones(3, 4)}]}
    for weights in (tree, {"w.layers.0.k": ones(3, 4)}):
        assert compiled.bind(weights)(ones(2, 3)).sum() == 24
    with pytest.raises(tw.ArgumentError, match=r"w\.layers\.0\.k"):
        compiled.bind({})


def test_disable_jit_uses_the_reference():
    with tw.config.override(disable_jit=True):
        f = tw.jit(lambda x: x + 1)
        assert f(1.0) == 2.0
        assert f.trace(1.0).lower().target == "interp"


def test_captured_arrays_are_bound():
    table = np.arange(2000, dtype="f")
    f = jit(lambda x: x + table[:1] * 0 + tw.take(tw.asarray(table), np.int64([1999])))
    assert f(ones(1))[0] == 2000


def test_nothing_of_the_compiler_is_loaded_before_the_first_trace():
    import subprocess
    import sys

    code = (
        "import sys, tilewright as tw\n"
        "f = tw.jit(lambda x: x + 1); tw.spec((None, 4)); tw.nn; tw.numpy; tw.Dim('n')\n"
        "assert not any('_mlir' in name for name in sys.modules), sorted(sys.modules)\n"
        "maps = open('/proc/self/maps').read()\n"
        "assert 'TilewrightPythonCAPI' not in maps and 'MLIR' not in maps\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_topics_of_the_environment_are_logged_to_stderr():
    import os
    import subprocess
    import sys

    code = (
        "import numpy as np, tilewright as tw\n"
        "f = tw.jit(lambda x: x + 1, target='interp')\n"
        "f(np.ones(2)), f(np.ones(3))\n"
    )
    env = {**os.environ, "TILEWRIGHT_LOG": "+recompiles"}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert "[tilewright.recompiles] <lambda>: recompiled: 'x' dim 0 was 2, now 3" in run.stderr
    assert run.stdout == ""
