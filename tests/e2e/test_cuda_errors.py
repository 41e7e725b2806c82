"""What goes wrong between a program and a GPU, on a driver that fails when it is told to."""

from __future__ import annotations

import ctypes
import gc
import re
import shutil
from pathlib import Path

import fake_cuda
import numpy as np
import pytest
import tilewright as tw
from fake_cuda.arrays import Foreign
from fake_cuda.programs import sums, sums_reference
from tilewright import _runtime, errors, runtime
from tilewright.runtime import devices
from tilewright.targets import base

ROOT = Path(__file__).parents[2]
ENTRIES = re.findall(r"X\(\w+, (cu\w+), ", (ROOT / "cpp/Runtime/Cuda/Api.h").read_text())
#: Where these fail, launches go without a graph, or nothing is left to be told.
HAS_ANOTHER_WAY = {
    "cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuGraphExecUpdate_v2",
    "cuGraphDestroy", "cuGraphExecDestroy", "cuModuleUnload", "cuEventDestroy_v2",
    "cuGetErrorName", "cuGetErrorString", "cuFuncGetParamInfo", "cuStreamGetCaptureInfo_v2",
    "cuGraphExecKernelNodeSetParams_v2",
}  # fmt: skip
#: The same, for some of their calls.
MAY_HAVE_ANOTHER_WAY = {"cuLaunchKernel", "cuMemFreeAsync", "cuCtxGetCurrent", "cuCtxSetCurrent"}
#: Where these fail, nobody can give memory back.
LOSES_MEMORY = {"cuMemFreeAsync", "cuCtxGetCurrent", "cuCtxSetCurrent"}


@pytest.fixture(autouse=True)
def own_arrays(monkeypatch, fake_gpu):
    monkeypatch.setattr(devices, "_has_cupy", lambda: False)


@pytest.fixture(scope="module")
def program():
    """A program of four launches, an argument and its result."""
    compiled = tw.jit(sums, target="cuda:sm_80").compile(tw.spec((3, 5)))
    x = np.random.default_rng(7).standard_normal((3, 5)).astype(np.float32)
    return compiled.executable, x, sums_reference(x)


def three_calls(executable, x, expected):
    """As it is, recorded, and recorded with other addresses."""
    for _ in range(3):
        np.testing.assert_allclose(executable(x).numpy(), expected, rtol=1e-4, atol=1e-4)


def another_machine(tmp_path, **machine) -> ctypes.CDLL:
    """Let the next programs find another machine: a driver of its own, which is asked once."""
    path = str(shutil.copy(fake_cuda.library(), tmp_path / "driver.so"))
    native = ctypes.CDLL(path)
    devices, (major, minor) = machine.get("devices", 1), machine.get("capability", (8, 0))
    native.fake_configure(devices, major, minor, ctypes.c_size_t(1 << 20))
    _runtime.set_cuda_driver(path)
    return native


@pytest.mark.parametrize("name", ENTRIES)
def test_every_call_of_the_driver_may_fail(name, program, fake_gpu):
    """The error is a DeviceError or has another way out, nothing is lost, and the same program goes on working."""
    whole, x, expected = program
    devices.describe()  # the driver has started
    before = fake_gpu.calls(name)
    three_calls(runtime.Executable(whole.object, whole.manifest_json), x, expected)
    count = fake_gpu.calls(name) - before
    for call in sorted({1, (count + 1) // 2, count} & set(range(1, count + 1))):
        executable = runtime.Executable(whole.object, whole.manifest_json)
        gc.collect()
        fake_gpu.native.cuCtxSynchronize()
        live = len(fake_gpu.live())
        with fake_gpu.failing(name, call):
            try:
                three_calls(executable, x, expected)
            except errors.DeviceError as problem:
                assert "CUDA_ERROR_UNKNOWN" in str(problem)
                assert name not in HAS_ANOTHER_WAY
            else:
                assert name in HAS_ANOTHER_WAY or name in MAY_HAVE_ANOTHER_WAY
        three_calls(executable, x, expected)
        del executable
        gc.collect()
        fake_gpu.native.cuCtxSynchronize()
        assert len(fake_gpu.live()) == live or name in LOSES_MEMORY
    assert fake_gpu.fault is None


@pytest.mark.parametrize(
    "name",
    [
        "cuInit", "cuDriverGetVersion", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetAttribute",
        "cuDevicePrimaryCtxRetain", "cuDeviceGetDefaultMemPool", "cuMemPoolSetAttribute", "cuMemGetInfo_v2",
    ],
)  # fmt: skip
def test_starting_may_fail(name, tmp_path):
    """And is tried again the next time."""
    native = another_machine(tmp_path)
    native.fake_fail(name.encode(), 1, 999)
    with pytest.raises(errors.DeviceError, match="CUDA_ERROR_UNKNOWN"):
        devices.describe()
    assert devices.describe()["capability"] == (8, 0)


def test_no_driver():
    _runtime.set_cuda_driver("libno-such-driver.so")
    with pytest.raises(errors.DeviceError, match=r"compiled for a GPU \(sm_80\): there is no NVIDIA driver"):
        tw.jit(lambda x: x + 1, target="cuda")(np.ones(3, np.float32))
    assert devices.count() == 0 and devices.architecture(0) is None


def test_driver_that_lacks_functions():
    _runtime.set_cuda_driver("libm.so.6")
    with pytest.raises(errors.DeviceError, match=r"too old: libm.so.6 has no cu"):
        tw.device_put(np.ones(3))


def test_no_device(tmp_path):
    another_machine(tmp_path, devices=0)
    with pytest.raises(errors.DeviceError, match=r"no GPU|NO_DEVICE"):
        tw.jit(lambda x: x + 1, target="cuda")(np.ones(3, np.float32))


def test_old_device(tmp_path):
    another_machine(tmp_path, capability=(7, 0))
    with pytest.raises(errors.DeviceError, match=r"compute capability 7\.0; 8\.0 is the least"):
        tw.jit(lambda x: x + 1, target="cuda")(np.ones(3, np.float32))


@pytest.mark.parametrize(
    ("capability", "arch"),
    [((8, 0), "sm_80"), ((8, 6), "sm_86"), ((9, 0), "sm_90a"), ((10, 3), "sm_100"), ((13, 0), "sm_120")],
)
def test_architecture_of_a_device(capability, arch, tmp_path):
    another_machine(tmp_path, capability=capability)
    assert base.find("cuda:0").arch == base.find("cuda").arch == arch
    assert base.find("cuda:sm_80").arch == "sm_80"


def test_program_for_a_newer_device():
    program = tw.jit(lambda x: x + 1, target="cuda:sm_90")
    with pytest.raises(errors.DeviceError, match=r"code for sm_90 on GPU 0 \(Fake GPU 0, capability 8\.0\)"):
        program(np.ones(3, np.float32))


def test_device_that_is_not_there():
    with pytest.raises(errors.DeviceError, match="there is no GPU 3"):
        tw.jit(lambda x: x + 1, target="cuda:3")(np.ones(3, np.float32))


def test_code_that_the_driver_refuses(program):
    whole = program[0]
    broken = bytes(whole.object).replace(b".entry", b".enter")
    with pytest.raises(errors.DeviceError, match=r"(?s)INVALID_PTX.*line \d+"):
        runtime.Executable(broken, whole.manifest_json)(program[1])


def test_no_memory(fake_gpu):
    program = tw.jit(lambda x: x + 1, target="cuda")
    x = tw.device_put(np.ones(1000, np.float32))
    program(x)
    fake_gpu.configure(memory=6000)
    with pytest.raises(errors.DeviceError, match=r"allocating 4000 bytes on GPU 0.*OUT_OF_MEMORY"):
        program(x)
    fake_gpu.configure()
    assert program(x).tolist() == [2.0] * 1000


def test_launch_failure_names_kernel_and_line(fake_gpu):
    @tw.jit(target="cuda")
    def twice(x):
        y = tw.cumsum(x, axis=0)
        return tw.cumsum(y, axis=1)

    with fake_gpu.failing("cuLaunchKernel", 2), pytest.raises(errors.DeviceError) as caught:
        twice(np.ones((3, 4), np.float32))
    said = str(caught.value)
    assert re.search(r"kernel kernel_\d_\d: starting the kernel failed", said)
    assert "return tw.cumsum(y, axis=1)" in said and "test_cuda_errors.py" in said


def test_kernel_that_fails_later(fake_gpu):
    """An array that is shorter than it says: known when the result is read, or, on request, at the launch."""
    program = tw.jit(lambda x: x * 2, target="cuda")
    program(np.ones(100, np.float32))

    def short():
        array = Foreign(np.ones(4, np.float32))
        array.shape = (100,)
        return array

    y = program(short())
    with pytest.raises(errors.DeviceError, match="waiting for the device failed"):
        y.numpy()
    assert type(fake_gpu.fault).__name__ == "OutOfBounds"
    fake_gpu.native.fake_recover()
    _runtime.set_cuda_options(True, True)
    with pytest.raises(errors.DeviceError, match="kernel kernel_0_0: running the kernel failed"):
        program(short())
    fake_gpu.native.fake_recover()


def test_failed_checks_are_the_users():
    take = tw.jit(lambda x, i: tw.take(x, i, axis=0, mode="raise"), target="cuda")
    x = np.arange(20, dtype=np.float32).reshape(5, 4)
    assert take(x, np.array([4, -1])).tolist() == x[[4, -1]].tolist()
    with pytest.raises(errors.IndexRangeError) as caught:
        take(x, np.array([0, 5]))
    assert "tw.take" in str(caught.value)


def test_arguments_that_do_not_fit():
    program = tw.jit(lambda x: x + 1, target="cuda").compile(tw.spec((4,)))
    with pytest.raises(errors.ShapeError, match=r"argument 'x' compiled for f32\[4\], called with f32\[5\]"):
        program(tw.device_put(np.ones(5, np.float32)))
    with pytest.raises(errors.DTypeError):
        program(Foreign(np.ones(4, np.int32)))
    with pytest.raises(errors.ArgumentError):
        program("four")


def test_no_export(tmp_path):
    with pytest.raises(errors.UnsupportedOpError, match="export: programs for a GPU"):
        tw.jit(lambda x: x + 1, target="cuda").compile(tw.spec((4,))).export(tmp_path)


def test_no_variants():
    """Asked for one, the program says so; asked for them in general, it goes without, and explains why."""
    n = tw.Dim("n", max=64)
    fixed = tw.jit(lambda x: x + 1, target="cuda").compile(tw.spec((n,)))
    with pytest.raises(
        errors.UnsupportedOpError, match=r"specialize: a program for a GPU(?s:.*)help: compile another"
    ):
        fixed.specialize(n=7)
    assert fixed.variants() == [] and "no variants" not in fixed.explain()
    observed = tw.jit(lambda x: x + 1, target="cuda", specialize=2, dynamic=True)
    for _ in range(4):
        assert observed(np.ones(7, np.float32)).tolist() == [2.0] * 7
    assert observed.variants() == []
    assert "no variants: a program for a GPU" in observed.explain(np.ones(7, np.float32))
    observed.despecialize()
