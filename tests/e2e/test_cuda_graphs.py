"""Launches as graphs, streams, and the libraries whose arrays, streams and memory a call uses; without a GPU."""

from __future__ import annotations

import ctypes
import gc

import numpy as np
import pytest
import tilewright as tw
from fake_cuda.arrays import Foreign, Stream
from fake_cuda.libraries import installed
from fake_cuda.programs import sums, sums_reference
from tilewright import _runtime, errors
from tilewright.models.language_model import LanguageModel
from tilewright.runtime import devices
from tilewright.runtime.device_array import DeviceArray
from tiny_llama import TinyLlama, write


def kinds(log: list[str]) -> list[str]:
    """What happened, without names and sizes."""
    words = {"launch", "replay", "instantiate", "update", "change"}
    found = [
        ("recorded" if line.endswith("recorded") else line.split()[0])
        for line in log
        if line.split()[0] in words
    ]
    return [word for i, word in enumerate(found) if i == 0 or found[i - 1] != word]


@pytest.fixture
def cupy(fake_gpu):
    with installed("cupy") as (module, pool):
        yield module, pool


def test_same_addresses_are_replayed(cupy, rng, fake_gpu):
    """And see what is in the arguments now; other addresses go into the same graph."""
    module, _ = cupy
    fn = tw.jit(sums, target="cuda:0")
    on_device = module.asarray(rng.standard_normal((5, 7)).astype(np.float32))
    seen = []
    for turn in range(5):
        if turn == 4:
            kept = on_device  # its memory is not free for the next one
            on_device = module.asarray(np.zeros((5, 7), np.float32))
            assert on_device.data.ptr != kept.data.ptr
        x = rng.standard_normal((5, 7)).astype(np.float32)
        _runtime.cuda_copy_in(0, on_device.data.ptr, x.reshape(-1).view(np.uint8))
        y = fn(on_device)
        np.testing.assert_allclose(y.numpy(), sums_reference(x), rtol=1e-4, atol=1e-4)
        del y
        seen.append(kinds(fake_gpu.log()))
    assert seen[0] == ["launch"]
    assert seen[1] == ["recorded", "instantiate", "replay"]
    # The arena of the graph has taken the place of that of the first call, and so did the result.
    assert seen[3] == ["replay"]
    assert seen[4] == ["change", "replay"]


def test_an_older_driver_records_again(cupy, rng, fake_gpu):
    """One that does not tell how large parameters are: other addresses are recorded, and the graph is updated."""
    module, _ = cupy
    fn = tw.jit(sums, target="cuda:0")
    with fake_gpu.failing("cuFuncGetParamInfo"):
        arrays = [module.asarray(rng.standard_normal((5, 7)).astype(np.float32)) for _ in range(3)]
        fn(arrays[0])
    for turn, array in enumerate(arrays):
        fake_gpu.log()
        np.testing.assert_allclose(fn(array).numpy(), sums_reference(array.numpy()), rtol=1e-4, atol=1e-4)
        found = kinds(fake_gpu.log())
        assert found == (["recorded", "update", "replay"] if turn else ["recorded", "instantiate", "replay"])


def test_growing_sizes_change_one_graph(cupy, rng, fake_gpu):
    """Each size comes once: from the third on, a call is changes of nodes and one start."""
    module, _ = cupy
    fn = tw.jit(sums, target="cuda:0").compile(tw.spec((tw.Dim("n", max=64), 3))).executable
    for n in range(1, 40):
        x = rng.standard_normal((n, 3)).astype(np.float32)
        array = module.asarray(x)
        fake_gpu.log()
        y = fn(array)
        found = kinds(fake_gpu.log())
        np.testing.assert_allclose(y.numpy(), sums_reference(x), rtol=1e-4, atol=1e-3)
        if n > 2:
            assert found == ["change", "replay"] or (found[-1] == "launch" and n & (n - 1) == 0), (n, found)
    assert fake_gpu.fault is None


def test_sizes_that_launch_nothing(cupy, rng, fake_gpu):
    """Fewer launches than the graph has: none of them is left in it."""
    module, _ = cupy
    fn = tw.jit(sums, target="cuda:0").compile(tw.spec((tw.Dim("n", min=0, max=64), 3))).executable
    for n in (3, 4, 0, 5, 0, 6, 7):
        x = rng.standard_normal((n, 3)).astype(np.float32)
        np.testing.assert_allclose(fn(module.asarray(x)).numpy(), sums_reference(x), rtol=1e-4, atol=1e-3)
    assert fake_gpu.fault is None


def test_few_launches_are_not_recorded(rng, fake_gpu):
    fn = tw.jit(lambda x: x @ x, target="cuda:0")
    for _ in range(3):
        fn(rng.standard_normal((4, 4)).astype(np.float32))
    assert "recorded" not in kinds(fake_gpu.log())


def test_more_sizes_than_graphs_are_kept(rng, fake_gpu):
    fn = tw.jit(sums, target="cuda:0", dynamic=True)
    for _ in range(2):
        for n in range(2, 12):
            x = rng.standard_normal((n, 3)).astype(np.float32)
            for _ in range(2):
                np.testing.assert_allclose(fn(x).numpy(), sums_reference(x), rtol=1e-4, atol=1e-4)
    assert fake_gpu.fault is None


def test_the_callers_own_recording(cupy, rng, fake_gpu):
    """Launches go into it; what must wait for a value cannot."""
    module, pool = cupy
    fn = tw.jit(sums, target="cuda:0")
    take = tw.jit(lambda x, i: tw.take(x, i, axis=0, mode="raise"), target="cuda:0")
    x = rng.standard_normal((3, 5)).astype(np.float32)
    array = module.asarray(x)
    index = module.asarray(np.zeros(2, np.int64))
    results = [fn(array), take(array, index)]  # kernels are loaded, sizes are known
    results.append(fn(array))
    stream = Stream(fake_gpu)
    pool.stream = stream.handle
    fn(array)
    spare = [module.empty((4096,), np.uint8), module.empty((3, 5), np.float32)]
    del results, spare
    native, graph, executable = fake_gpu.native, ctypes.c_void_p(), ctypes.c_void_p()
    handle = ctypes.c_void_p(stream.handle)
    assert native.cuStreamBeginCapture_v2(handle, 0) == 0
    fake_gpu.log()
    y = fn(array)
    assert kinds(fake_gpu.log()) == ["recorded"]
    assert native.cuStreamEndCapture(handle, ctypes.byref(graph)) == 0
    assert native.cuGraphInstantiateWithFlags(ctypes.byref(executable), graph, ctypes.c_ulonglong(0)) == 0
    assert native.cuGraphLaunch(executable, handle) == 0
    np.testing.assert_allclose(y.numpy(), sums_reference(x), rtol=1e-4, atol=1e-4)
    assert native.cuStreamBeginCapture_v2(handle, 0) == 0
    with pytest.raises(errors.DeviceError, match="the host decides by"):
        take(array, index)
    native.cuStreamEndCapture(handle, ctypes.byref(graph))


def test_streams_in_turn(cupy, rng, fake_gpu):
    """A result of one stream is an argument on another."""
    _, pool = cupy
    fn = tw.jit(lambda x: x * 2 + 1, target="cuda:0")
    streams = [0, Stream(fake_gpu).handle, Stream(fake_gpu).handle]
    for last_first in (False, True):
        fake_gpu.native.fake_last_first(int(last_first))
        x = rng.standard_normal(33).astype(np.float32)
        y, expected = tw.device_put(x), x
        for turn in range(7):
            pool.stream = streams[turn % 3]
            y, expected = fn(y), expected * 2 + 1
            assert isinstance(y, DeviceArray)
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)
        gc.collect()
        assert fake_gpu.native.cuCtxSynchronize() == 0 and fake_gpu.fault is None


@pytest.mark.parametrize("name", ["cupy", "torch"])
def test_outputs_follow_the_inputs(name, rng, fake_gpu):
    """Outputs and intermediates come from the library's pool, on its current stream; nothing is copied."""
    with installed(name) as (module, pool):
        pool.stream = Stream(fake_gpu).handle
        put = module.asarray if name == "cupy" else module.tensor
        kind = module.ndarray if name == "cupy" else module.Tensor
        fn = tw.jit(lambda x, w: (sums(x + w), tw.argmax(x, axis=1)), target="cuda")
        x, w = rng.standard_normal((4, 6)).astype(np.float32), rng.standard_normal((4, 6)).astype(np.float32)
        arrays = put(x), put(w)
        fn(*arrays)
        copies, allocations = fake_gpu.calls("cuMemcpyHtoDAsync_v2"), fake_gpu.calls("cuMemAllocAsync")
        given = pool.given
        y, places = fn(*arrays)
        assert type(y) is kind and type(places) is kind
        np.testing.assert_allclose(y.numpy(), sums_reference(x + w), rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(places.numpy(), x.argmax(1))
        assert fake_gpu.calls("cuMemcpyHtoDAsync_v2") == copies
        assert pool.given > given and fake_gpu.calls("cuMemAllocAsync") - allocations <= 3, "new to the pool"
        stream = fake_gpu.native.fake_stream_number(ctypes.c_void_p(pool.stream))
        assert {line.split()[-1] for line in fake_gpu.log() if line.startswith("launch")} <= {
            "recorded",
            str(stream),
        }
        mixed = fn(arrays[0], tw.device_put(w))
        assert type(mixed[0]) is DeviceArray
        fn(x, arrays[1])  # an array of the CPU among them
        pool.limit = 10
        with pytest.raises(errors.DeviceError, match="no memory left"):
            fn(*arrays)


def test_numpy_arguments_with_cupy(cupy, rng):
    module, _ = cupy
    y = tw.jit(lambda x: x + 1, target="cuda")(np.arange(3, dtype=np.float32))
    assert type(y) is module.ndarray and y.numpy().tolist() == [1, 2, 3]
    assert devices.host_copy(y).tolist() == [1, 2, 3]
    assert tw.device_put(y).tolist() == [1, 2, 3]
    z = Foreign(np.ones((4, 4), np.float32), lambda a: a[1:, 1])
    assert devices.host_copy(z).tolist() == [1, 1, 1]


def test_decode_steps_are_one_graph(monkeypatch, fake_gpu, tmp_path):
    """Positions grow from step to step: one graph serves them, a few of its nodes change, one copy brings what is new."""
    monkeypatch.setattr(devices, "_has_cupy", lambda: False)
    size = TinyLlama(layers=1, hidden=32, heads=2, kv_heads=1, feed_forward=64, vocabulary=260, format="f16")
    path = write(tmp_path / "tiny.gguf", size)
    cpu, gpu = LanguageModel(path, target="cpu"), LanguageModel(path, target="cuda")
    fresh = 0
    for step, ids in enumerate([[3, 1, 4], *([n] for n in range(5, 13))]):
        fake_gpu.log()
        copies = fake_gpu.calls("cuMemcpyHtoDAsync_v2")
        expected, found = cpu.feed(ids), gpu.feed(ids)
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
        log = fake_gpu.log()
        if step > 2:
            assert fake_gpu.calls("cuMemcpyHtoDAsync_v2") == copies + 1
            fresh += kinds(log) != ["change", "replay"]
            nodes = next(int(line.split()[1]) for line in log if line.startswith("replay"))
            changed = sum(line.startswith("change") for line in log)
            assert changed <= nodes // 2, (changed, nodes)
    assert fresh <= 2, "memory for positions is set aside ahead"
    assert fake_gpu.fault is None
