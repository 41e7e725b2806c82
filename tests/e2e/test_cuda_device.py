"""Calls on a GPU: run by `make test-gpu` on a real one, and here on the driver without one."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tilewright as tw
from op_matrix import fresh_rng
from tilewright.models.language_model import LanguageModel
from tilewright.runtime import devices
from tiny_llama import TinyLlama, write


@pytest.fixture(autouse=True)
def some_gpu(request):
    """Use the GPU that `--gpu` says; without the option, the fake one."""
    if not request.config.getoption("--gpu"):
        request.getfixturevalue("monkeypatch").setattr(devices, "_has_cupy", lambda: False)
        return request.getfixturevalue("fake_gpu")
    return None


def libraries() -> list[str]:
    """Which of the libraries that allocate on a GPU there are."""
    found = ["tilewright"]
    for name in ("torch", "cupy"):
        try:
            module = __import__(name)
            if name == "cupy" or module.cuda.is_available():
                found.append(name)
        except ImportError:
            continue
    return found


def put(library: str, array: np.ndarray):
    if library == "torch":
        return sys.modules["torch"].from_numpy(array.copy()).cuda()
    if library == "cupy":
        return sys.modules["cupy"].asarray(array)
    return tw.device_put(array)


def test_results_of_every_library():
    """Arrays of each library, on several streams, many times: graphs, addresses that change, arenas."""
    rng = fresh_rng()
    fn = tw.jit(lambda x: tw.softmax(tw.cumsum(tw.cumsum(x, axis=0), axis=1), axis=0) * 2 + 1, target="cuda")
    for library in libraries():
        for turn in range(6):
            x = rng.standard_normal((7, 5 + turn // 3)).astype(np.float32)
            argument = put(library, x)
            y = fn(argument)
            assert library == "tilewright" or type(y) is type(argument)
            wide = x.astype(np.float64).cumsum(0).cumsum(1)
            e = np.exp(wide - wide.max(0))
            np.testing.assert_allclose(devices.host_copy(y), e / e.sum(0) * 2 + 1, rtol=1e-4)


def test_strides_and_slices():
    rng = fresh_rng()
    x = rng.standard_normal((6, 10)).astype(np.float32)
    fn = tw.jit(lambda x: x * 2, target="cuda")
    for library in libraries():
        if library == "tilewright":
            np.testing.assert_array_equal(devices.host_copy(fn(x[:, ::2])), x[:, ::2] * 2)
            continue
        whole = put(library, x)
        for view, expected in ((whole.T, x.T), (whole[1:, ::2], x[1:, ::2])):
            np.testing.assert_array_equal(devices.host_copy(fn(view)), expected * 2)


def test_same_bits_in_every_run():
    rng = fresh_rng()
    x = rng.standard_normal((3, 700)).astype(np.float32)
    fn = tw.jit(lambda x: tw.sum(tw.exp(x), axis=1), target="cuda")
    results = [devices.host_copy(fn(x)) for _ in range(4)]
    assert all(np.array_equal(results[0], other) for other in results)


def test_host_decides():
    count = tw.jit(lambda n: tw.while_loop(lambda c: c[0] > 0, lambda c: (c[0] - 1, c[1] + c[0]), (n, n - n))[1],
                   target="cuda")  # fmt: skip
    for n in (5, 9):
        assert int(devices.host_copy(count(np.int64(n)))) == n * (n + 1) // 2


def test_weights_and_donation():
    rng = fresh_rng()
    w, x = rng.standard_normal((9, 9)).astype(np.float32), rng.standard_normal((4, 9)).astype(np.float32)
    fn = tw.jit(lambda w, x: x @ w, weight_argnums=0, target="cuda")
    for _ in range(3):
        np.testing.assert_allclose(devices.host_copy(fn(w, x)), x @ w, rtol=1e-3, atol=1e-4)
    step = tw.jit(lambda x: tw.update_slice(x, x[:2] + 1, (3,)), donate_argnums=0, target="cuda")
    y = tw.device_put(np.arange(8, dtype=np.float32))
    for _ in range(3):
        y = step(y)
    assert y.tolist() == [0, 1, 2, 1, 2, 5, 6, 7]


def test_language_model(tmp_path):
    """Weights and caches stay on the device; logits come back."""
    path = write(
        tmp_path / "tiny.gguf",
        TinyLlama(layers=1, hidden=32, heads=2, kv_heads=1, feed_forward=64, format="f16"),
    )
    cpu, gpu = LanguageModel(path, target="cpu"), LanguageModel(path, target="cuda")
    for ids in ([3, 1, 4, 1], [5], [9]):
        expected, found = cpu.feed(ids), gpu.feed(ids)
        assert isinstance(found, np.ndarray)
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    assert all(not isinstance(cache, np.ndarray) for cache in gpu._cache)
