"""`tw.jit` on the target cpu: native calls, the disk cache, saving; numbers are checked op by op in e2e."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
import weakref

import numpy as np
import pytest
import tilewright as tw
from tilewright import config, pipeline, pytree

A = np.linspace(0.1, 0.9, 12, dtype="f").reshape(3, 4)


def program(x, y):
    return {"sum": tw.exp(x) + y, "scaled": x * 2.0}


@pytest.fixture
def no_disk_cache():
    with config.override(cache=False):
        yield


@pytest.fixture
def disk_cache(tmp_path):
    with config.override(cache=True, cache_dir=tmp_path / "cache"):
        yield tmp_path / "cache"


def refuse(*args, **kwargs):
    raise AssertionError("a warm start ran the pipeline")


def test_results_and_native_calls(no_disk_cache):
    f = tw.jit(program)
    for _ in range(3):
        out = f(A, A)
    np.testing.assert_allclose(out["sum"], np.exp(A) + A, rtol=1e-6)
    np.testing.assert_array_equal(out["scaled"], A * 2)
    assert f.cache_info().hits == 2


@pytest.mark.alone
def test_calls_cost_little(no_disk_cache):
    f = tw.jit(lambda x, y: x + y)
    x = np.ones(8, "f")
    f(x, x)
    rounds = []
    for _ in range(20):
        started = time.perf_counter()
        for _ in range(500):
            f(x, x)
        rounds.append((time.perf_counter() - started) / 500)
    assert min(rounds) < 1.5e-6


def test_dynamic_sizes_and_numbers(no_disk_cache):
    f = tw.jit(lambda x, s: x * s + x.shape[0])
    for n in (2, 3, 5, 8):
        np.testing.assert_allclose(f(np.ones(n, "f"), 0.5), np.full(n, 0.5 + n), rtol=1e-6)
    assert f.cache_info().currsize == 2


def test_a_warm_start_runs_no_pass(disk_cache, monkeypatch):
    first = tw.jit(program)(A, A)
    monkeypatch.setattr(pipeline, "compile", refuse)
    monkeypatch.setattr(pipeline, "lower", refuse)
    # Another function object on other lines: the key is the program.
    again = tw.jit(lambda x, y: {"sum": tw.exp(x) + y, "scaled": x * 2.0}, name="program")(A, A)
    np.testing.assert_array_equal(first["sum"], again["sum"])
    with pytest.raises(AssertionError, match="warm start"):
        tw.jit(lambda x: x * 3.0)(A)


def test_another_process_finds_what_this_one_compiled(disk_cache):
    code = (
        "import numpy as np, tilewright as tw\n"
        "from tilewright import cache, config\n"
        f"with config.override(cache=True, cache_dir={str(disk_cache)!r}):\n"
        "    x = tw.jit(lambda x: tw.tanh(x) + 1)(np.ones(4, 'f'))\n"
        "    print(cache.default().hits)\n"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(2)]
    assert [run.stdout.strip() for run in runs] == ["0", "1"], runs[1].stderr


def test_cached_code_names_the_lines_of_whoever_runs_it(disk_cache, monkeypatch):
    x, far = np.ones(4, np.float32), np.array([9])
    tw.jit(lambda x, i: tw.take(x, i, axis=0, mode="raise"))(x, np.array([1]))
    monkeypatch.setattr("tilewright.pipeline.compile", None)  # only the cache is left
    second = tw.jit(lambda x, i: tw.take(x, i, axis=0, mode="raise"))
    with pytest.raises(tw.IndexRangeError) as info:
        second(x, far)
    line = second.__wrapped__.__code__.co_firstlineno
    assert (info.value.loc.file, info.value.loc.line) == (__file__, line)
    assert f"{__file__}:{line}" in second.lower(x, far).compile().explain()


def test_constants_are_not_part_of_the_key(disk_cache, monkeypatch):
    table = np.ones((32, 32), "f")
    tw.jit(lambda x: x + table)(table)
    monkeypatch.setattr(pipeline, "compile", refuse)
    other = table * 5
    np.testing.assert_array_equal(tw.jit(lambda x: x + other)(table), table + other)


def test_save_and_load(no_disk_cache, tmp_path):
    compiled = tw.jit(program).compile(tw.spec((tw.Dim("n"), 4)), tw.spec((tw.Dim("n"), 4)))
    compiled.save(tmp_path / "program.tw")
    loaded = tw.load(tmp_path / "program.tw")
    np.testing.assert_array_equal(loaded(A, A)["sum"], compiled(A, A)["sum"])
    assert loaded.as_text() == compiled.as_text()
    with pytest.raises(tw.ShapeError, match="compiled for"):
        loaded(A.reshape(4, 3), A)
    with pytest.raises(tw.ArgumentError, match="compiled for arguments"):
        loaded(A)


def test_bound_weights_are_saved(no_disk_cache, tmp_path):
    f = tw.jit(lambda w, x: x + w["b"], weight_argnums=0)
    compiled = f.compile({"b": tw.spec((4,))}, tw.spec((3, 4))).bind({"b": A[0].copy()})
    compiled.save(tmp_path / "bound.tw")
    np.testing.assert_array_equal(tw.load(tmp_path / "bound.tw")(A), A + A[0])


def test_analyses_and_explanations(no_disk_cache):
    compiled = tw.jit(program).compile(A, A)
    assert compiled.memory_analysis()["argument_size_in_bytes"] == 2 * A.nbytes
    assert compiled.cost_analysis()["bytes accessed"] > 0
    assert "kernel_0" in compiled.explain()
    for stage in ("tensor", "linalg", "kernels", "vector", "llvm"):
        assert f'tw.stage = "{stage}"' in compiled.as_text(stage)
    assert ".text" in compiled.as_text("object")


def test_every_thread_may_call(no_disk_cache):
    import threading

    f = tw.jit(lambda x: x * 2.0 + 1.0)
    wrong = []

    def work(n):
        for _ in range(50):
            x = np.full(n, n, "f")
            if not np.array_equal(f(x), x * 2 + 1):
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in (3, 4, 5, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_calls_with_weights_need_no_python():
    f = tw.jit(lambda x, w: {"y": x @ w["layers"][0]["k"]}, weight_argnums=1)
    x, trees = np.ones((2, 3), "f"), [{"layers": [{"k": np.ones((3, 4), "f") * i}]} for i in range(1, 8)]
    for _ in range(3):
        for i, tree in enumerate(trees[:3]):
            assert f(x, tree)["y"].sum() == 24 * (i + 1)
    assert f.hits == 6 and f.cache_info().currsize == 1
    for i, tree in enumerate(trees):  # packed copies do not pile up
        assert f(x, w=tree)["y"].sum() == 24 * (i + 1)
    assert len(f.executables) <= 8
    trees[6]["layers"][0]["k"] = np.ones((3, 4), "f") * 10
    assert f(x, trees[6])["y"].sum() == 240


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + 1,
        lambda x: (x + 1, x * 2),
        lambda x: (x + 1,),
        lambda x: [x, {"double": x * 2}],
    ],
)
def test_compiled_programs_answer_natively(no_disk_cache, function):
    """From its second call on, with any structure of results; mistakes still get their message."""
    compiled = tw.jit(function).lower(A).compile()
    expected = function(A)
    for calls in range(4):
        got, tree = pytree.flatten(compiled(A))
        wanted, wanted_tree = pytree.flatten(expected)
        assert tree == wanted_tree and compiled.hits == calls
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(tw.ShapeError):
        compiled(A[:2])
    with pytest.raises(tw.ArgumentError):
        compiled(A, A)
    with pytest.raises(tw.ArgumentError):
        compiled([A])


def test_bound_weights_go_with_the_program(no_disk_cache):
    """Calls leave no cycle that would keep weights until the next collection."""
    w = np.ones((4, 5), "f")
    bound = tw.jit(lambda w, x: x @ w, weight_argnums=0).lower(w, A).compile().bind(w)
    for _ in range(3):
        np.testing.assert_allclose(bound(A), A @ w, rtol=1e-5)
    seen = weakref.ref(bound)
    gc.disable()
    try:
        del bound
        assert seen() is None
    finally:
        gc.enable()


def test_a_program_as_attribute_of_a_class(no_disk_cache):
    class Model:
        step = tw.jit(lambda x: x + 1).lower(A).compile()

    np.testing.assert_array_equal(Model().step(A), A + 1)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_flops_of_a_product(no_disk_cache, dtype):
    """Conversions and moves of bits are no arithmetic, whichever instruction sums the products up."""
    m, n, k = 24, 64, 128

    def product(a, b):
        return tw.dot_general(
            a, b, lhs_contract=(1,), rhs_contract=(0,), dtype="int32" if dtype == "int8" else None
        )

    compiled = tw.jit(product).compile(tw.spec((m, k), dtype), tw.spec((k, n), dtype))
    flops = compiled.cost_analysis()["flops"]
    corrections = 2 * m * n + m * k  # of unsigned bytes: the sums of rows
    assert 2 * m * n * k <= flops <= 2 * m * n * k + corrections
