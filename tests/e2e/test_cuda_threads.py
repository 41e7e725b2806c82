"""Programs for a GPU in several threads, arrays that go while kernels read them, and recordings by the caller; without a GPU."""

from __future__ import annotations

import ctypes
import gc
import threading
import weakref

import fake_cuda
import numpy as np
import pytest
import tilewright as tw
from fake_cuda.arrays import DlpackOnly, Foreign, Stream
from fake_cuda.libraries import installed
from fake_cuda.programs import sums, sums_reference
from tilewright import _runtime, errors, runtime
from tilewright.runtime import devices


@pytest.fixture
def own_arrays(monkeypatch, fake_gpu):
    monkeypatch.setattr(devices, "_has_cupy", lambda: False)


def in_threads(count, work):
    """Call `work(number)` in that many threads at once; return the results."""
    results: list = [None] * count
    barrier = threading.Barrier(count)

    def run(number):
        barrier.wait()
        try:
            results[number] = work(number)
        except BaseException as problem:
            results[number] = problem

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "threads wait for each other"
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


@pytest.mark.parametrize("bound", [False, True], ids=["arguments", "weights"])
def test_first_calls_at_once(bound, rng, fake_gpu, own_arrays):
    """One of them loads the code, one copy of a weight is made, and all have the right result, also as graphs."""
    w = rng.standard_normal((3, 5)).astype(np.float32)
    fn = tw.jit(lambda w, x: sums(w + x), target="cuda:sm_80", weight_argnums=0 if bound else ())
    whole = fn.compile(tw.spec((3, 5)), tw.spec((3, 5))).executable
    executable = runtime.Executable(whole.object, whole.manifest_json)
    if bound:
        executable = executable.bind({"w": w})
    inputs = [rng.standard_normal((3, 5)).astype(np.float32) for _ in range(4)]
    fake_gpu.log()

    def calls(number):
        x = inputs[number]
        return [(executable(x) if bound else executable(w, x)).numpy() for _ in range(3)]

    for number, results in enumerate(in_threads(4, calls)):
        for found in results:
            np.testing.assert_allclose(found, sums_reference(w + inputs[number]), rtol=1e-4, atol=1e-4)
    assert sum(line.startswith("load") for line in fake_gpu.log()) == 1
    assert fake_gpu.fault is None


def test_python_runs_while_the_driver_compiles(rng, fake_gpu, own_arrays, monkeypatch):
    """Loading code leaves Python's lock to others: here they are what it waits for."""
    program = tw.jit(lambda x: x * 5, target="cuda:sm_80").compile(tw.spec((4,))).executable
    executable = runtime.Executable(program.object, program.manifest_json)
    other, seen = threading.Event(), []
    load = fake_cuda.ptx.load

    def slow(text):
        seen.append(other.wait(30))
        return load(text)

    monkeypatch.setattr(fake_cuda.ptx, "load", slow)
    threading.Timer(0.05, other.set).start()
    assert executable(np.ones(4, np.float32)).tolist() == [5.0] * 4
    assert seen == [True]


def test_arrays_of_others_stay_until_they_are_read(fake_gpu, own_arrays):
    """The caller drops them right after the call; whoever owns the memory would use it again at once."""

    class Fleeting(Foreign):
        """Memory that somebody else writes to as soon as its owner goes."""

        def __del__(self):
            stream = Stream(fake_gpu)
            stream.copy(self.pointer, np.full(9, np.nan, np.float32))
            fake_gpu.native.cuStreamSynchronize(ctypes.c_void_p(stream.handle))

    double = tw.jit(lambda x: x + x, target="cuda:0")
    x = np.arange(9, dtype=np.float32)
    double(x)
    for wrap in (lambda array: array, DlpackOnly):
        array = Fleeting(x)
        if wrap is DlpackOnly:
            array.__class__.__dlpack__ = lambda self, **_: _runtime.device_to_dlpack(
                self, self.pointer, self.shape, "float32", 0
            )
        gone = weakref.ref(array)
        y = double(wrap(array))
        del array
        gc.collect()
        assert gone() is not None
        np.testing.assert_array_equal(y.numpy(), x + x)
        _runtime.cuda_synchronize(0)
        gc.collect()
        assert gone() is None, "and no longer"
    assert fake_gpu.fault is None


@pytest.mark.parametrize(("result", "stays"), [(900, True), (906, True), (700, False)])
def test_arrays_stay_while_nobody_may_ask(result, stays, fake_gpu, own_arrays):
    """A recording of another thread may forbid to ask for an event: that does not say that it has come.

    After an error that has ended everything on the device (700) nothing reads any more.
    """
    double = tw.jit(lambda x: x + x, target="cuda:0")
    x = np.arange(9, dtype=np.float32)
    double(x)
    array = Foreign(x)
    gone = weakref.ref(array)
    y = double(array)
    del array
    with fake_gpu.failing("cuEventQuery", result=result):
        double(Foreign(x))
        gc.collect()
        assert (gone() is not None) == stays
    np.testing.assert_array_equal(y.numpy(), x + x)
    _runtime.cuda_synchronize(0)
    gc.collect()
    assert gone() is None and fake_gpu.fault is None


def test_recordings_of_the_caller_with_weights(rng, fake_gpu):
    """Weights are there since the first call, on whatever stream: a recording has nothing to wait for."""
    with installed("cupy") as (module, pool):
        w, x = rng.standard_normal((6, 6)).astype(np.float32), rng.standard_normal((3, 6)).astype(np.float32)
        apply = tw.jit(lambda w, x: tw.softmax(x @ w), weight_argnums=0, target="cuda:0")
        array = module.asarray(x)
        expected = apply(w, array).numpy()
        stream = Stream(fake_gpu)
        pool.stream = stream.handle
        _runtime.set_cuda_options(False, False)  # no graph keeps memory that the recording will want
        for _ in range(2):
            apply(w, array)
        native, graph, executable = fake_gpu.native, ctypes.c_void_p(), ctypes.c_void_p()
        handle = ctypes.c_void_p(stream.handle)
        assert native.cuCtxSynchronize() == 0
        assert native.cuStreamBeginCapture_v2(handle, 0) == 0
        y = apply(w, array)
        assert native.cuStreamEndCapture(handle, ctypes.byref(graph)) == 0
        assert native.cuGraphInstantiateWithFlags(ctypes.byref(executable), graph, ctypes.c_ulonglong(0)) == 0
        for _ in range(2):
            assert native.cuGraphLaunch(executable, handle) == 0
            np.testing.assert_array_equal(y.numpy(), expected)


def test_what_a_recording_cannot_have(fake_gpu):
    """Arrays of the CPU, which would be gone when it is replayed; arrays that another stream may still compute."""
    with installed("cupy") as (module, pool):
        add = tw.jit(lambda x, y: x + y, target="cuda:0")
        host = np.ones(4, np.float32)
        array = module.asarray(host)
        late = add(tw.device_put(host), tw.device_put(host))  # under way on the default stream
        add(array, array)
        stream = Stream(fake_gpu)
        pool.stream = stream.handle
        add(array, array)
        native, graph = fake_gpu.native, ctypes.c_void_p()
        handle = ctypes.c_void_p(stream.handle)
        assert native.cuStreamBeginCapture_v2(handle, 0) == 0
        with pytest.raises(errors.DeviceError, match=r"argument 1 lies on the CPU.*device_put"):
            add(array, host)
        with pytest.raises(errors.DeviceError, match="another stream than the one that is being recorded"):
            add(array, late)
        assert native.cuStreamEndCapture(handle, ctypes.byref(graph)) == 0, "the recording is still whole"
        native.cuCtxSynchronize()  # before the memory goes


def test_weights_choose_the_gpu(fake_gpu, own_arrays):
    """The second one, where they lie, not the first."""
    w = Foreign(np.arange(16, dtype=np.float32), device=1)
    program = tw.jit(lambda w, x: x * w, weight_argnums=0, target="cuda").compile(
        tw.spec((16,)), tw.spec((16,))
    )
    y = program.bind({"w": w})(np.ones(16, np.float32))
    assert y.device == "cuda:1" and y.tolist() == list(range(16))
    with pytest.raises(errors.DeviceError, match="a weight lies on GPU 1, the call is for GPU 0"):
        program.bind({"w": w})(tw.device_put(np.ones(16, np.float32), "cuda:0"))
