"""Memory of outputs: aligned, owned by its array, reused when dropped, bounded."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import runtime_objects as ro
from tilewright import _runtime, runtime

pytestmark = ro.needs_cc


@pytest.fixture
def add():
    return runtime.Executable(*ro.add_dynamic())


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("size", [600, 5000, 8192, 100_000, 2_000_000])
def test_outputs_lie_on_boundaries(add, size):
    x = np.ones(size, "float32")
    result = add(x, x)
    assert address(result) % (4096 if result.nbytes >= 32 << 10 else 64) == 0
    assert result.flags.writeable and result.flags.c_contiguous
    np.testing.assert_array_equal(result, x + x)


def test_views_keep_the_memory(add):
    x = np.ones(1_000_000, "float32")
    view = add(x, x)[::2]
    gc.collect()
    for _ in range(8):
        add(x, np.zeros_like(x))
    np.testing.assert_array_equal(view, np.full(500_000, 2, "float32"))


def test_dropped_memory_is_used_again(add):
    _runtime.release_memory()
    x = np.ones(1_000_000, "float32")
    first = add(x, x)
    place = address(first)
    del first
    assert address(add(x, x)) == place
    smaller = add(x[:900_000], x[:900_000])
    assert address(smaller) == place
    other = add(x, x)
    assert address(other) != place
    del smaller, other
    assert _runtime.release_memory() >= 2 * 3_600_000
    assert _runtime.release_memory() == 0


def test_what_is_kept_is_bounded(add):
    _runtime.release_memory()
    x = np.zeros(40_000_000, "float32")
    results = [add(x[:n], x[:n]) for n in (1_000_000, 5_000_000, 10_000_000, 20_000_000, 40_000_000, 100_000)]
    del results
    assert _runtime.release_memory() <= 128 << 20


def test_changing_shapes_do_not_pile_up(add):
    def rss():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    rng = np.random.default_rng(0)
    x = np.zeros(400_000, "float32")
    for n in rng.integers(1, len(x), 500):
        add(x[:n], x[:n])
    before = rss()
    for n in rng.integers(1, len(x), 10_000):
        add(x[:n], x[:n])
    assert rss() - before < 8 << 20


def test_output_that_is_too_large():
    shapes = "int32_t tw_shapes(const TwArg *in, int64_t *out) { out[0] = out[1] = 1ll << %d; out[2] = 0; return 0; }"
    code = "int32_t tw_main(const TwRt *r, const TwArg *i, const TwArg *o, void *s) { return 0; }"
    for power, error in [(40, ValueError), (22, MemoryError)]:
        run = runtime.Executable(
            ro.compile_c(code + shapes % power), ro.manifest([], [ro.out([None, None])], shapes="tw_shapes")
        )
        with pytest.raises((error, MemoryError, ValueError)):
            run()
