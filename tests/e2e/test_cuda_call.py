"""Calls of programs for a GPU from end to end, on a driver without one: arrays in and out, launches, streams, graphs."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import tilewright as tw
from fake_cuda.arrays import DlpackOnly, Foreign, Stream
from fake_cuda.exchange import Exchanging
from fake_cuda.programs import sums, sums_reference
from tilewright import _runtime, errors
from tilewright.runtime import devices
from tilewright.runtime.device_array import DeviceArray

TARGET = "cuda:0"


@pytest.fixture(autouse=True)
def own_arrays(monkeypatch, fake_gpu):
    """Results are our own arrays, whatever is installed: no other library knows this driver."""
    monkeypatch.setattr(devices, "_has_cupy", lambda: False)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x.astype(np.float64) - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def columns(x):
    """Many launches; some intermediates are planned and live long, others are a kernel's own."""
    y = tw.cumsum(x, axis=0)
    return tw.softmax(y, axis=0) + tw.softmax(tw.cumsum(y, axis=1), axis=0) * y


def columns_reference(x: np.ndarray) -> np.ndarray:
    y = x.astype(np.float64).cumsum(0)
    return softmax(y.T).T + softmax(y.cumsum(1).T).T * y


PROGRAMS = {
    "several": (sums, sums_reference, [(5, 6)]),
    "pointwise": (lambda x: tw.tanh(x) * 2, lambda x: np.tanh(x) * 2, [(5, 33)]),
    "softmax": (lambda x: tw.softmax(x), softmax, [(4, 33)]),
    "arena-and-stack": (columns, columns_reference, [(6, 5)]),
    "product": (lambda a, b: tw.maximum(a @ b, 0), lambda a, b: np.maximum(a @ b, 0), [(17, 20), (20, 9)]),
    "two-results": (lambda x: (tw.sum(x, axis=0), x.T), lambda x: (x.sum(0), x.T), [(7, 3)]),
    "empty": (lambda x: x + 1, lambda x: x + 1, [(0, 4)]),
    "scalar": (lambda x: tw.sum(x), lambda x: x.sum(), [(13,)]),
}


@pytest.mark.parametrize("graphs", [False, True], ids=["launches", "graphs"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_numbers(name, graphs, rng, fake_gpu):
    """NumPy in, arrays of the device out; the second and third call of a shape may be a graph."""
    _runtime.set_cuda_options(graphs, False)
    fn, reference, shapes = PROGRAMS[name]
    compiled = tw.jit(fn, target=TARGET)
    for turn in range(3):
        fake_gpu.adversarial = turn or None
        arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
        found, expected = compiled(*arrays), reference(*arrays)
        for one, other in zip(found if isinstance(found, tuple) else [found],
                              expected if isinstance(expected, tuple) else [expected], strict=True):  # fmt: skip
            assert isinstance(one, DeviceArray) and one.device == "cuda:0"
            np.testing.assert_allclose(one.numpy(), other, rtol=1e-5, atol=1e-5)
    assert compiled.cache_info().misses == 1
    assert fake_gpu.fault is None


def test_results_are_arguments_again(rng):
    step = tw.jit(lambda x: sums(x) / 1000, target=TARGET)
    x = rng.standard_normal((4, 5)).astype(np.float32)
    y, expected = x, x
    for _ in range(5):
        y, expected = step(y), sums_reference(expected) / 1000
    np.testing.assert_allclose(np.asarray(y), expected, rtol=1e-4, atol=1e-6)


def test_sizes_become_dynamic(rng, fake_gpu):
    total = tw.jit(lambda x, s: tw.sum(x * s, axis=1), target=TARGET)
    for n in (3, 5, 8, 5):
        x = rng.standard_normal((n, 70)).astype(np.float32)
        np.testing.assert_allclose(total(x, 2.0).numpy(), x.sum(1) * 2, rtol=1e-5, atol=1e-5)
    assert total.cache_info().misses == 2


def test_host_code_reads_what_it_decides_by(fake_gpu):
    """Loops and conditions wait for the device, and are never recorded."""
    count = tw.jit(lambda n: tw.while_loop(lambda c: c[0] > 0, lambda c: (c[0] - 1, c[1] + c[0]), (n, n - n))[1],
                   target=TARGET)  # fmt: skip
    choose = tw.jit(lambda x: tw.cond(tw.sum(x) > 0, lambda y: y + 1, lambda y: y - 1, x), target=TARGET)
    for n in (4, 10, 4):
        assert int(count(np.int64(n))) == n * (n + 1) // 2
    for value in (1, -1, 1):
        x = np.full(5, value, np.float32)
        np.testing.assert_array_equal(choose(x).numpy(), x + value)
    assert not any("recorded" in line for line in fake_gpu.log())


@pytest.mark.parametrize(
    "view",
    [lambda x: x.T, lambda x: x[::2], lambda x: x[:, 1:4], lambda x: x[::-1], lambda x: x.reshape(-1)[1:33]],
    ids=["transposed", "steps", "columns", "backwards", "off-sixteen-bytes"],
)
@pytest.mark.parametrize("kind", ["numpy", "foreign"])
def test_strides(kind, view, rng):
    base = rng.standard_normal((6, 8)).astype(np.float32)
    argument = view(base) if kind == "numpy" else Foreign(base, view)
    found = tw.jit(lambda x: x * 2 + 1, target=TARGET)(argument)
    np.testing.assert_array_equal(found.numpy(), view(base) * 2 + 1)


def test_arrays_of_other_libraries_are_not_copied(rng, fake_gpu):
    double = tw.jit(lambda x: x + x, target=TARGET)
    x = rng.standard_normal((4, 5)).astype(np.float32)
    double(x)
    foreign, own = Foreign(x), tw.device_put(x)
    copies = fake_gpu.calls("cuMemcpyHtoDAsync_v2"), fake_gpu.calls("cuMemcpyDtoHAsync_v2")
    given = DlpackOnly(own)
    results = [double(foreign), double(own), double(given)]
    assert (fake_gpu.calls("cuMemcpyHtoDAsync_v2"), fake_gpu.calls("cuMemcpyDtoHAsync_v2")) == copies
    assert given.asked == [1]
    for found in results:
        np.testing.assert_array_equal(found.numpy(), x + x)


def test_arrays_that_native_code_reads_at_once(rng, monkeypatch):
    """No Python runs for an argument whose class has functions for native code, unless it has gaps."""
    add = tw.jit(lambda x, y: x + y, target=TARGET)
    x, y = rng.standard_normal((4, 6)).astype(np.float32), rng.standard_normal((4, 6)).astype(np.float32)
    one, two = Exchanging(x), Exchanging(np.ascontiguousarray(y.T), lambda z: z.T)
    for turn in range(2):
        np.testing.assert_array_equal(add(one, two).numpy(), x + y)
        assert one.looked == two.looked == turn + 1
    with pytest.raises(errors.DTypeError):
        add(one, Exchanging(np.zeros((4, 6), np.int32)))


def test_an_array_on_a_stream_of_its_own_is_waited_for(rng, fake_gpu):
    """And with a library that does not say so, this driver shows what was there before."""
    double = tw.jit(lambda x: x + x, target=TARGET)
    zeros, x = np.zeros(9, np.float32), rng.standard_normal(9).astype(np.float32)
    double(zeros)
    for says in (True, False):
        stream = Stream(fake_gpu)
        late = Foreign(zeros, stream=stream.handle if says else None)
        stream.copy(late.pointer, x)
        found = double(late).numpy()
        np.testing.assert_array_equal(found, x + x if says else zeros)
        fake_gpu.native.cuCtxSynchronize()  # before its memory goes


def test_results_taken_by_other_libraries(rng, fake_gpu):
    y = tw.jit(lambda x: x + 1, target=TARGET)(np.arange(6, dtype=np.float32).reshape(2, 3))
    interface = y.__cuda_array_interface__
    assert interface["shape"] == (2, 3) and interface["stream"] == 1 and interface["data"][0] == y.pointer
    assert y.__dlpack_device__() == (2, 0)
    capsule = y.__dlpack__()
    del y
    gc.collect()
    assert interface["data"][0] in dict(fake_gpu.live()), "the capsule keeps the memory"
    del capsule
    gc.collect()
    fake_gpu.native.cuCtxSynchronize()
    assert interface["data"][0] not in dict(fake_gpu.live())


def test_array_on_a_device(rng):
    x = rng.standard_normal((2, 3)).astype(np.float32)
    y = tw.device_put(x, "cuda:0")
    assert (y.shape, y.ndim, y.size, y.nbytes, len(y), y.dtype.name) == ((2, 3), 2, 6, 24, 2, "float32")
    assert repr(y) == "tilewright.Array(float32[2, 3] on cuda:0)"
    assert tw.device_put(y) is y
    np.testing.assert_array_equal(np.asarray(y, dtype=np.float64), x)
    np.testing.assert_array_equal(np.asarray(y[1]), x[1])
    assert float(tw.device_put(np.float32(2.5))) == 2.5
    assert tw.device_put(Foreign(x)).tolist() == x.tolist()
    with pytest.raises(ValueError):
        np.array(y, copy=False)
    with pytest.raises(errors.ArgumentError):
        tw.device_put(x, "cpu")
    with pytest.raises(errors.DeviceError, match="no GPU 7"):
        tw.device_put(x, 7)


def test_weights_go_to_the_device_once(rng, fake_gpu):
    w = rng.standard_normal((64, 64)).astype(np.float32)
    apply = tw.jit(lambda w, x: x @ w, weight_argnums=0, target=TARGET)
    x = tw.device_put(rng.standard_normal((3, 64)).astype(np.float32))
    for turn in range(3):
        before = fake_gpu.calls("cuMemcpyHtoDAsync_v2")
        np.testing.assert_allclose(apply(w, x).numpy(), x.numpy() @ w, rtol=1e-4, atol=1e-4)
        assert fake_gpu.calls("cuMemcpyHtoDAsync_v2") - before == (1 if turn == 0 else 0)
    other = tw.jit(lambda w, x: (x @ w) * 2, weight_argnums=0, target=TARGET)
    before = fake_gpu.calls("cuMemcpyHtoDAsync_v2")
    np.testing.assert_allclose(other(w, x).numpy(), 2 * (x.numpy() @ w), rtol=1e-4, atol=1e-4)
    assert fake_gpu.calls("cuMemcpyHtoDAsync_v2") == before, "programs share a weight"


def test_arrays_off_sixteen_bytes(fake_gpu):
    """Kernels read 16 bytes at once: weights and donated arrays elsewhere are copied, too."""
    base = np.arange(40, dtype=np.float32)

    def shifted(x):
        return x[1:33]

    program = tw.jit(lambda w, x: x * w, weight_argnums=0, target=TARGET).compile(
        tw.spec((32,)), tw.spec((32,))
    )
    found = program.bind({"w": Foreign(base, shifted)})(np.ones(32, np.float32))
    np.testing.assert_array_equal(found.numpy(), base[1:33])
    step = tw.jit(lambda x: tw.update_slice(x, x[:16] * 2, (16,)), donate_argnums=0, target=TARGET)
    expected = base[1:33].copy()
    expected[16:] = expected[:16] * 2
    np.testing.assert_array_equal(step(Foreign(base, shifted)).numpy(), expected)


def test_weights_of_the_device_are_used_in_place(rng, fake_gpu):
    w = Foreign(rng.standard_normal(16).astype(np.float32))
    program = tw.jit(lambda w, x: x * w, weight_argnums=0, target=TARGET).compile(
        tw.spec((16,)), tw.spec((16,))
    )
    bound = program.bind({"w": w})
    x = np.ones(16, np.float32)
    before = fake_gpu.calls("cuMemcpyHtoDAsync_v2")
    bound(x)
    assert fake_gpu.calls("cuMemcpyHtoDAsync_v2") == before + 1


def test_donated_memory_is_the_result(fake_gpu):
    step = tw.jit(lambda x: tw.update_slice(x, x[:2] + 1, (3,)), donate_argnums=0, target=TARGET)
    expected = [0, 1, 2, 1, 2, 5, 6, 7]
    x = tw.device_put(np.arange(8, dtype=np.float32))
    y = step(x)
    assert y is x and y.tolist() == expected
    host = np.arange(8, dtype=np.float32)
    assert step(host).tolist() == expected and host[3] == 3, "the CPU's array stays"
    with pytest.raises(errors.ArgumentError):
        step(Foreign(np.zeros(16, np.float32), lambda z: z[::2]))


def test_an_argument_in_donated_memory_is_copied_first():
    def overwrite(x, y):
        z = tw.update_slice(x, x[:4] * 0, (2,))
        return z, y + z

    step = tw.jit(overwrite, donate_argnums=0, target=TARGET)
    for again in range(2):
        x = tw.device_put(np.arange(8, dtype=np.float32))
        other = np.arange(8, dtype=np.float32) if again else x
        z, total = step(x, other)
        assert z.tolist() == [0, 1, 0, 0, 0, 0, 6, 7] and total.tolist() == [0, 2, 2, 3, 4, 5, 12, 14]


def test_saved_program_with_weights(rng, tmp_path):
    w, x = rng.standard_normal((16, 8)).astype(np.float32), rng.standard_normal((2, 16)).astype(np.float32)
    program = tw.jit(lambda w, x: x @ w, weight_argnums=0, target=TARGET).compile(
        tw.spec((16, 8)), tw.spec((2, 16))
    )
    bound = program.bind({"w": w})
    expected = bound(x).numpy()
    bound.save(tmp_path / "program.tw")
    np.testing.assert_array_equal(tw.load(tmp_path / "program.tw")(x).numpy(), expected)


def test_nothing_is_left_on_the_device(rng, fake_gpu):
    program = tw.jit(sums, target=TARGET)
    x = rng.standard_normal((4, 6)).astype(np.float32)
    for turn in range(6):
        program(x)
        gc.collect()
        fake_gpu.native.cuCtxSynchronize()
        if turn == 2:
            before = len(fake_gpu.live())
    assert len(fake_gpu.live()) == before
