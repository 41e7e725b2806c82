"""Settings that every test shares: a private cache, a quiet environment, seeded randomness, quiet for what is timed."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci", deadline=None, max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

_saved: dict[str, str] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--gpu",
        nargs="?",
        const="real",
        choices=["real", "fake"],
        help="run the tests of programs for a GPU on one (or on the driver without one) instead of the interpreter",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose the GPU, and keep the user's settings out of the tests."""
    _isolate()
    if mode := config.getoption("--gpu"):
        _use_gpu(mode)


def _use_gpu(mode: str) -> None:
    import cuda_device
    import tilewright as tw
    from tilewright import _runtime
    from tilewright.runtime import devices

    if mode == "fake":
        import fake_cuda

        driver = fake_cuda.driver()
        driver.configure(capability=(9, 0))
        _runtime.set_cuda_driver(driver.path)
    try:
        found = devices.describe(0)
    except tw.DeviceError as problem:
        pytest.exit(f"--gpu: no GPU to test on: {problem.message}", returncode=3)
    print(f"GPU 0: {found['name']}, capability {found['capability']}, CUDA {found['driver']}")
    cuda_device.mode = mode


def _isolate() -> None:
    """Keep the user's cache and TILEWRIGHT_* settings out of the tests, and the tests out of the user's cache.

    Here and not in a fixture: tilewright reads its settings once, when a test module is collected.
    """
    _saved.update({name: os.environ.pop(name) for name in list(os.environ) if name.startswith("TILEWRIGHT_")})
    os.environ["TILEWRIGHT_CACHE_DIR"] = tempfile.mkdtemp(prefix="tilewright-test-cache-")


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ.pop("TILEWRIGHT_CACHE_DIR"), ignore_errors=True)
    os.environ.update(_saved)


@contextlib.contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, kind)
        yield


@pytest.fixture(autouse=True)
def _quiet_where_it_counts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """Let a test marked `alone` wait until the other processes of pytest-xdist have no test under way, and them for it."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    shared = tmp_path_factory.getbasetemp().parent
    is_alone = request.node.get_closest_marker("alone") is not None
    with contextlib.ExitStack() as tests:
        # Whoever waits to be alone holds the door: no further test comes in before it.
        with _locked(shared / "door", fcntl.LOCK_EX):
            tests.enter_context(_locked(shared / "room", fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH))
        yield


@pytest.fixture
def rng(request):
    """Return a NumPy generator seeded by the test's own name: other tests do not change what a test sees."""
    return np.random.default_rng(list(request.node.nodeid.encode()))


@pytest.fixture
def fake_gpu():
    """Return the driver of a GPU of capability 8.0 that interprets kernels; programs for `cuda` run on it."""
    import fake_cuda
    import tilewright as tw
    from tilewright import _runtime, runtime  # the latter sets up the former when it is imported

    assert runtime.ABI_VERSION

    driver = fake_cuda.driver()
    driver.reset()
    _runtime.set_cuda_driver(driver.path)
    # The runtime asks a device once what it is. It is told the same, whichever test comes first and be it one of another GPU.
    for device in range(2):
        _runtime.cuda_device(device)
    # Machine code of a real assembler would be of no use to it.
    with tw.config.override(ptxas="0"):
        yield driver
    driver.reset()
    _runtime.set_cuda_driver(tw.config.current().cuda_driver)
    _runtime.set_cuda_options(True, False)
