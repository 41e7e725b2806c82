"""Results that go past the cache: the same numbers wherever they begin, and whatever reads them next."""

from __future__ import annotations

import numpy as np
import pytest
import tilewright as tw
from op_matrix import fresh_rng
from tilewright import runtime
from tilewright.targets import base
from tilewright.targets.cpu.target import CpuTarget


@pytest.fixture
def jit(monkeypatch):
    """`tw.jit` for a CPU whose last cache holds a kilobyte."""
    monkeypatch.setitem(base._BUILT_IN, "small-cache", "small_cache:small_cache")
    return lambda fn, **options: tw.jit(fn, target="small-cache", **options)


SHAPES = [(16,), (1000,), (4096,), (100003,), (3, 64), (64, 768), (65, 769), (5, 7, 48), (400, 400)]


@pytest.mark.parametrize("shape", SHAPES)
def test_elementwise(shape, jit):
    x, y = fresh_rng().standard_normal((2, *shape), dtype=np.float32)
    run = jit(lambda x, y: (x + y) * x)
    for _ in range(3):
        np.testing.assert_array_equal(run(x, y), tw.jit(lambda x, y: (x + y) * x)(x, y))


@pytest.mark.parametrize("shape", [(64, 768), (65, 769), (512, 256)])
def test_rows_and_what_reads_them_next(shape, jit):
    x = fresh_rng().standard_normal(shape, dtype=np.float32)

    def network(x):
        centred = x - x.mean(axis=-1, keepdims=True)
        turned = tw.transpose(centred) @ centred
        return tw.nn.softmax(centred, axis=-1), turned.sum()

    for result, expected in zip(jit(network)(x), tw.jit(network)(x), strict=True):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.skipif("+avx" not in CpuTarget().features.split(","), reason="this CPU has no such stores")
def test_stores_go_past_the_cache_where_lines_are_filled(jit):
    def text(*shape):
        return jit(lambda x: x + 1).lower(tw.spec(shape, "float32")).as_text("target")

    assert "nontemporal = true" in text(4096)
    assert "nontemporal = true" in text(512, 768)
    assert "nontemporal = true" not in text(512, 769)
    assert "nontemporal = true" not in text(64)  # fits even this cache
    assert "past the cache" in jit(lambda x: x + 1).lower(tw.spec((4096,), "float32")).explain()


def test_a_donated_array_is_read_first(jit):
    x = fresh_rng().standard_normal(8192, dtype=np.float32)
    expected = x * 2 + 1
    np.testing.assert_array_equal(jit(lambda x: x * 2 + 1, donate_argnums=0)(x), expected)


def test_every_task_is_done_when_the_call_returns(jit):
    before = runtime.num_threads()
    run = jit(lambda x, y: x - y)
    x = np.arange(1 << 20, dtype=np.float32)
    try:
        for count in (1, 2, 4):
            runtime.set_num_threads(count)
            for turn in range(20):
                assert (run(x, np.full(1 << 20, turn, np.float32)) == x - turn).all()
    finally:
        runtime.set_num_threads(before)
