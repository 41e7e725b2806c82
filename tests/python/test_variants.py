"""Variants for observed sizes: they compute the same, appear and go while others call, and never get in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest
import tilewright as tw
from tilewright import programs, variants

RNG = np.random.default_rng(7)


def rand(*shape, dtype="float32"):
    return RNG.standard_normal(shape).astype(dtype)


def softmax_of_product(a, b):
    return tw.softmax(a @ b, axis=-1)


def _moved(x):
    flat = x.reshape((x.shape[0] * x.shape[1],))
    return np.concatenate([x, x], axis=0), flat, x.T, tw.flip(x, axis=0)


def _loop(x):
    return tw.fori_loop(0, 3, lambda i, y: y * 0.5 + 1.0, x)


def _while(x):
    return tw.while_loop(lambda y: y.sum() < 100.0, lambda y: y * 2.0 + 1.0, x * x)


def _branch(x):
    return tw.cond(x.sum() > 0.0, lambda y: y + 1.0, lambda y: y - 1.0, x)


def _scan(x):
    return tw.scan(lambda carry, row: (carry + row, carry * row), x.sum(axis=0), x)


PROGRAMS = {
    "product": (softmax_of_product, [(None, "k"), ("k", None)], [(7, 33), (33, 17)]),
    "norm": (lambda x: (x - x.mean(axis=-1, keepdims=True)) / (x.std(axis=-1, keepdims=True) + 1.0),
             [(None, None)], [(5, 19)]),
    "moved": (_moved, [("m", "n")], [(3, 11)]),
    "reductions": (lambda x: (x.sum(), x.max(axis=0), np.cumsum(x, axis=1), np.argmax(x, axis=-1)),
                   [("m", "n")], [(6, 13)]),
    "booleans": (lambda x, y: ((x > y), np.where(x > y, x, y)), [("n",), ("n",)], [(37,), (37,)]),
    "gather": (lambda x, y: tw.take(x, np.array([0, 0]), axis=0) * 2.0 + y.sum(), [("m", "n"), ("m", "n")],
               [(4, 9), (4, 9)]),
    "attention": (lambda q, k: tw.nn.attention(q, k, k, causal=True),
                  [(1, 2, "s", 8), (1, 2, "s", 8)], [(1, 2, 9, 8), (1, 2, 9, 8)]),
    "loop": (_loop, [("m", "n")], [(5, 7)]),
    "while": (_while, [("m", "n")], [(5, 7)]),
    "branch": (_branch, [("m", "n")], [(5, 7)]),
    "scan": (_scan, [(tw.Dim("m", min=2), "n")], [(5, 7)]),
    "one": (softmax_of_product, [("m", "k"), ("k", "n")], [(1, 1), (1, 1)]),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_variant_computes_the_same(name):
    fn, shapes, sizes = PROGRAMS[name]
    compiled = tw.jit(fn).compile(*[tw.spec(shape) for shape in shapes])
    arrays = [rand(*shape) for shape in sizes]
    expected = compiled(*arrays)
    found: dict[str, int] = {}
    for shape, size, spec in zip(shapes, sizes, compiled.manifest["args"], strict=True):
        found.update({d: n for d, n in zip(spec["dims"], size, strict=True) if d})
        assert len(shape) == len(size)
    compiled.specialize(**found)
    got = compiled(*arrays)
    (row,) = compiled.variants()
    assert row.calls == 1 and row.guard == found
    for one, other in zip(tw.tree_flatten(got)[0], tw.tree_flatten(expected)[0], strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=2e-6)
    manifest = compiled.executable.variants()[0][1].manifest
    assert all(None not in entry["shape"] for entry in manifest["args"])
    if name not in ("while", "branch"):  # what these carry keeps the type that it was written with
        assert all(None not in entry["shape"] for entry in manifest["outputs"])


def test_sizes_left_out_stay_open():
    compiled = tw.jit(softmax_of_product).compile(tw.spec(("m", "k")), tw.spec(("k", 9)))
    compiled.specialize(k=33)
    for m in (1, 5, 20):
        a, b = rand(m, 33), rand(33, 9)
        np.testing.assert_allclose(compiled(a, b).sum(axis=-1), np.ones(m), rtol=1e-5)
    compiled(rand(3, 4), rand(4, 9))
    assert [row.calls for row in compiled.variants()] == [3]


@pytest.mark.parametrize(
    ("sizes", "phrase"),
    [
        ({"q": 3}, "no symbolic size 'q'"),
        ({"n": 65}, "cannot be 65"),
        ({"n": 6}, "cannot be 6"),
        ({}, "no size"),
    ],
)
def test_impossible_sizes_are_refused(sizes, phrase):
    compiled = tw.jit(lambda x: x + x).compile(tw.spec((tw.Dim("n", max=64, multiple_of=4),)))
    with pytest.raises(tw.ArgumentError, match=phrase):
        compiled.specialize(**sizes)
    assert compiled.variants() == []


def test_observed_sizes_get_a_variant():
    fn = tw.jit(softmax_of_product, dynamic=True, specialize=10)
    a, b = rand(7, 33), rand(33, 17)
    expected = fn(a, b)
    for _ in range(30):
        fn(a, b)
    variants.wait()
    for _ in range(5):
        np.testing.assert_allclose(fn(a, b), expected, rtol=1e-5)
    row = fn.variants()[0]
    assert sorted(row.guard.values()) == [7, 17, 33] and row.calls >= 5 and row.compile_ms > 0
    assert "compiled in" in fn.explain() and "= 33" in fn.explain()
    fn(a[:3], b)  # no guard holds: the code for all sizes
    fn.despecialize()
    calls = [fn(a, b) for _ in range(50)]
    variants.wait()
    assert fn.variants() == [] and all(np.array_equal(one, expected) for one in calls)


def test_nothing_is_watched_unless_asked():
    fn = tw.jit(softmax_of_product, dynamic=True)
    a, b = rand(7, 33), rand(33, 17)
    for _ in range(500):
        fn(a, b)
    variants.wait()
    assert fn.variants() == []


@pytest.mark.parametrize("value", ["often", -1, 1.5, True])
def test_bad_options_are_refused(value):
    with pytest.raises(tw.ArgumentError, match="specialize"):
        tw.jit(lambda x: x, specialize=value)


def test_a_variant_that_cannot_be_made_is_explained(monkeypatch):
    def refuse(*_):
        raise tw.LoweringError("no code for this one")

    fn = tw.jit(softmax_of_product, dynamic=True, specialize=5)
    a, b = rand(7, 33), rand(33, 17)
    expected = fn(a, b)
    monkeypatch.setattr(programs, "executable_of", refuse)
    for _ in range(40):
        assert np.array_equal(fn(a, b), expected)
    variants.wait()
    assert fn.variants() == [] and "no code for this one" in fn.explain()


def test_an_error_without_words_stops_nothing(monkeypatch):
    """The thread that makes variants outlives any job, and says what it can."""

    def run_out(*_):
        raise MemoryError

    compiled = tw.jit(softmax_of_product).lower(tw.spec(("m", 33)), tw.spec((33, 9))).compile(specialize=5)
    with monkeypatch.context() as patch:
        patch.setattr(programs, "executable_of", run_out)
        for _ in range(6):
            compiled(rand(7, 33), rand(33, 9))
        while variants._jobs or any(one._pending for one in list(variants._all)):
            time.sleep(0.01)
    assert "none: MemoryError" in compiled.explain()
    for _ in range(6):
        compiled(rand(8, 33), rand(33, 9))
    for _ in range(1200):  # not `wait`, which would not come back from a thread that died
        if compiled.variants():
            break
        time.sleep(0.05)
    assert [row.guard for row in compiled.variants()] == [{"m": 8}]


def test_a_thread_that_cannot_start_is_tried_again(monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    compiled = tw.jit(softmax_of_product).lower(tw.spec(("m", 33)), tw.spec((33, 9))).compile(specialize=5)
    said = []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        patch.setattr(sys, "unraisablehook", said.append)
        for _ in range(6):
            compiled(rand(7, 33), rand(33, 9))
    assert len(said) == 1 and variants._worker is None
    for _ in range(6):
        compiled(rand(8, 33), rand(33, 9))
    variants.wait()
    assert {row.guard["m"] for row in compiled.variants()} == {7, 8}  # what had to wait is made, too


def test_variants_dropped_while_one_is_ordered(monkeypatch):
    compiled = tw.jit(softmax_of_product).compile(tw.spec(("m", 33)), tw.spec((33, 9)))
    real = programs.executable_of

    def despecialized_meanwhile(*args):
        compiled.despecialize()
        return real(*args)

    monkeypatch.setattr(programs, "executable_of", despecialized_meanwhile)
    with pytest.raises(tw.UnsupportedOpError, match="dropped meanwhile"):
        compiled.specialize(m=7)


def test_a_variant_in_the_making_is_dropped(monkeypatch):
    compiled = tw.jit(softmax_of_product).lower(tw.spec(("m", 33)), tw.spec((33, 9))).compile(specialize=5)
    real, begun, go = programs.executable_of, threading.Event(), threading.Event()

    def slowly(*args):
        begun.set()
        go.wait(30)
        return real(*args)

    monkeypatch.setattr(programs, "executable_of", slowly)
    for _ in range(6):
        compiled(rand(7, 33), rand(33, 9))
    assert begun.wait(30)
    compiled.despecialize()
    go.set()
    variants.wait()
    assert compiled.variants() == []


def test_the_least_useful_variant_makes_room():
    compiled = tw.jit(lambda x: x + 1.0).compile(tw.spec(("n",)))
    for n in range(2, 2 + variants.LIMIT):
        compiled.specialize(n=n)
        for _ in range(n):
            compiled(rand(n))
    compiled.specialize(n=100)
    sizes = {row.guard["n"] for row in compiled.variants()}
    assert len(sizes) == variants.LIMIT and 100 in sizes and 2 not in sizes


def test_variants_are_found_on_disk(tmp_path):
    with tw.config.override(cache=True, cache_dir=tmp_path):
        first, second = (
            tw.jit(softmax_of_product).compile(tw.spec(("m", 33)), tw.spec((33, 9))) for _ in "ab"
        )
        assert not first.specialize(m=7).cached
        assert second.specialize(m=7).cached
        a, b = rand(7, 33), rand(33, 9)
        assert np.array_equal(first(a, b), second(a, b))


def test_bound_weights_are_shared():
    def layer(x, w):
        return np.maximum(x @ w, 0.0)

    w, x = rand(48, 64), rand(7, 48)
    compiled = tw.jit(layer, weight_argnums=1).compile(tw.spec(("m", 48)), w).bind({"w": w})
    expected = compiled(x)
    compiled.specialize(m=7)
    np.testing.assert_allclose(compiled(x), expected, rtol=2e-6, atol=2e-6)
    assert compiled.variants()[0].calls == 1
    (ours,) = compiled.executable.bound_arrays().values()
    (theirs,) = compiled.executable.variants()[0][1].bound_arrays().values()
    assert ours is theirs


def test_donated_memory_is_reused():
    def store(cache, x):
        return tw.update_slice(cache, x * 2.0, (1, 0))

    compiled = tw.jit(store, donate_argnums=0).compile(tw.spec((64, 8)), tw.spec((tw.Dim("n", max=63), 8)))
    compiled.specialize(n=7)
    for rows in (3, 7):
        cache, x = np.zeros((64, 8), "f"), rand(rows, 8)
        result = compiled(cache, x)
        assert result.ctypes.data == cache.ctypes.data
        np.testing.assert_array_equal(result[1 : rows + 1], x * 2)
    assert compiled.variants()[0].calls == 1


def test_nothing_keeps_a_program_alive():
    w, x = rand(48, 64), rand(7, 48)
    fn = tw.jit(lambda x, w: x @ w, weight_argnums=1, specialize=3)
    compiled = fn.compile(tw.spec(("m", 48)), w).bind({"w": w})
    for _ in range(5):
        compiled(x)
    variants.wait()
    assert compiled.variants()
    left = weakref.ref(compiled.executable)
    del compiled  # its weights go at once, without the collector
    assert left() is None


def test_a_loaded_program_takes_variants(tmp_path):
    compiled = tw.jit(softmax_of_product).compile(tw.spec(("m", 33)), tw.spec((33, 9)))
    compiled.save(tmp_path / "p.tw")
    loaded = tw.load(tmp_path / "p.tw")
    a, b = rand(7, 33), rand(33, 9)
    loaded.specialize(m=7)
    np.testing.assert_allclose(loaded(a, b), compiled(a, b), rtol=1e-6)
    assert loaded.variants()[0].calls == 1


def test_many_threads_and_sizes():
    fn = tw.jit(softmax_of_product, dynamic=True, specialize=20)
    wrong, stop = [], threading.Event()
    inputs = {m: (rand(m, 33), rand(33, 17)) for m in range(2, 15)}
    reference = tw.jit(softmax_of_product, dynamic=True)
    expected = {m: reference(*arrays) for m, arrays in inputs.items()}

    def call(seed):
        rng, i = np.random.default_rng(seed), 0
        while not stop.is_set():
            # Some sizes often, all of them sometimes, and the popular ones change.
            i += 1
            common = i // 5000 % 8 + int(rng.integers(3))
            m = 2 + (common if rng.random() < 0.8 else int(rng.integers(13)))
            if not np.allclose(fn(*inputs[m]), expected[m], rtol=1e-5):
                wrong.append(m)

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(600):
        if len(made := fn.variants()) > 3:
            break
        time.sleep(0.1)
    fn.explain()
    fn.despecialize()
    time.sleep(0.1)
    stop.set()
    for thread in threads:
        thread.join()
    variants.wait()
    assert not wrong and len(made) > 3 and fn.variants() == []


FORK = """
import os, sys, numpy as np, tilewright as tw
from tilewright import variants
fn = tw.jit(lambda a, b: tw.softmax(a @ b, axis=-1), dynamic=True, specialize=5)
a, b = np.ones((7, 33), "f"), np.ones((33, 17), "f")
expected = fn(a, b)
for _ in range(10):
    fn(a, b)
children = []
for i in range(6):  # while the variant is being made
    child = os.fork()
    if child == 0:
        c = np.ones((20 + i, 33), "f")
        for _ in range(20):
            fn(a, b), fn(c, b)
        variants.wait()
        ok = len(fn.variants()) >= 2 and np.allclose(fn(a, b), expected)
        os._exit(0 if ok else 1)
    children.append(child)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""

EXIT = """
import numpy as np, tilewright as tw
fn = tw.jit(lambda a, b: tw.softmax(a @ b, axis=-1), dynamic=True, specialize=5)
a, b = np.ones((7, 33), "f"), np.ones((33, 17), "f")
for i in range(10):
    fn(a, b)
print("done")
"""


@pytest.mark.parametrize(("script", "output"), [(FORK, "[0, 0, 0, 0, 0, 0]"), (EXIT, "done")])
def test_processes_that_fork_or_end(script, output):
    environ = {**os.environ, "TILEWRIGHT_CACHE": "0"}
    done = subprocess.run(
        # Python 3.12 and later warn of every fork beside threads; this is about whether ours survive it.
        [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", script],
        capture_output=True,
        text=True,
        env=environ,
        timeout=300,
    )
    assert done.stdout.strip() == output and done.returncode == 0, done.stderr
    assert not done.stderr
