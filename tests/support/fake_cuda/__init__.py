"""A CUDA driver without a GPU: the launcher's calls are checked, kernels run in the PTX interpreter.

`driver()` builds the library with the machine's C++ compiler, once per content, and makes it the one that Tilewright
opens. Device memory is a stretch of addresses that the host can't read; work on streams is done as late as possible.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import ptx
from ptx.memory import GLOBAL_BASE, Memory, Regions, Segment

__all__ = ["FakeDriver", "compiler", "driver", "library"]

# As fake.h has them.
_SPACE = 2 << 30
_VARIABLES = 1 << 20
_DTYPES = {0: "u1", 1: "u2", 2: "u4", 3: "i4", 4: "u8", 5: "i8", 6: "f2", 7: "f4", 8: "f8", 9: "u2", 11: "f4"}
_TFLOAT32 = 11
_ARRAY = ctypes.POINTER
_LOAD = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_PARAMETERS = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_int, ctypes.c_char_p, _ARRAY(ctypes.c_int), ctypes.c_int
)
_LAUNCH = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_int, ctypes.c_char_p, _ARRAY(ctypes.c_uint), _ARRAY(ctypes.c_uint), ctypes.c_uint,
    _ARRAY(ctypes.c_uint), ctypes.c_void_p, ctypes.c_int,
)  # fmt: skip
_ENCODE = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_uint64, _ARRAY(ctypes.c_uint64), _ARRAY(ctypes.c_uint64),
    _ARRAY(ctypes.c_uint32), ctypes.c_int, ctypes.c_void_p,
)  # fmt: skip


class _Callbacks(ctypes.Structure):
    _fields_ = (("load", _LOAD), ("parameters", _PARAMETERS), ("launch", _LAUNCH), ("encode", _ENCODE))


class _DeviceMemory(Memory):
    """The driver's memory, as the interpreter wants it: what is allocated, and the bytes behind it."""

    def __init__(self, content: np.ndarray) -> None:
        super().__init__()
        self.segment = Segment(0)
        self.segment.bytes = content
        self.segment.views = {
            width: content.view(dtype)
            for width, dtype in ((1, np.uint8), (2, np.uint16), (4, np.uint32), (8, np.uint64))
        }

        self._variables: list[tuple[int, int, str, bool]] = []
        self._shown: list[tuple[int, int]] = []

    def allocate(self, size: int, align: int, name: str, writable: bool = True) -> int:
        """Reserve bytes for a variable of a module; the driver's own memory begins behind these."""
        self.regions = Regions()
        address = super().allocate(size, align, name, writable)
        assert self.end < _VARIABLES
        self._variables.append((address, size, name, writable))
        self.show(self._shown)
        return address

    def show(self, allocations: list[tuple[int, int]]) -> None:
        """Take over what is allocated now, in the order of addresses."""
        self._shown = allocations
        self.regions = Regions()
        for row in self._variables:
            self.regions.add(*row)
        for start, size in allocations:
            self.regions.add(start, size, f"{size} bytes")


def compiler() -> str:
    """Return the machine's C++ compiler."""
    return next(c for c in (os.environ.get("CXX"), "g++", "clang++", "c++") if c and shutil.which(c))


@functools.cache
def library() -> Path:
    """Build the driver, and return its path."""
    here = Path(__file__).parent
    sources = sorted(here.glob("*.cpp"))
    digest = hashlib.sha256(b"".join(f.read_bytes() for f in [*sources, here / "fake.h"])).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"tilewright-fake-cuda-{os.getuid()}-{digest}.so"
    if not path.exists():
        made = path.with_suffix(f".{os.getpid()}")
        flags = [
            "-std=c++17",
            "-O1",
            "-fPIC",
            "-shared",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-fvisibility=hidden",
        ]
        subprocess.run([compiler(), *flags, *map(str, sources), "-o", str(made)], check=True, timeout=120)
        os.replace(made, path)
    return path


class FakeDriver:
    """The driver's inner side.

    Attributes:
        path: of the library.
        fault: what the interpreter raised in a kernel, or None.
        adversarial: seed of the interpreter's unkind mode, or None.
        modules: the code that was loaded.
    """

    def __init__(self) -> None:
        self.path = str(library())
        self.native = ctypes.CDLL(self.path)
        self.native.fake_bytes.restype = _ARRAY(ctypes.c_ubyte)
        self.native.fake_log.restype = ctypes.c_char_p
        self.native.fake_live.restype = ctypes.c_size_t
        self.fault: Exception | None = None
        self.adversarial: int | None = None
        self.modules: list[Any] = []
        content = np.ctypeslib.as_array(self.native.fake_bytes(), (_SPACE,))
        self.memory = _DeviceMemory(content)
        self._callbacks = _Callbacks(
            _LOAD(self._load), _PARAMETERS(self._parameters), _LAUNCH(self._launch), _ENCODE(self._encode)
        )
        self.native.fake_callbacks(ctypes.byref(self._callbacks))
        atexit.register(self.native.fake_end)  # no interpreter is left for what is still to be done

    def reset(self) -> None:
        """Make it two healthy GPUs of capability 8.0 again."""
        self.native.fake_recover()
        self.native.fake_fail(b"", 0, 0)
        self.native.fake_last_first(0)
        self.configure()
        self.fault, self.adversarial = None, None
        self.log()

    def configure(
        self, devices: int = 2, capability: tuple[int, int] = (8, 0), memory: int = 256 << 20
    ) -> None:
        """Be another machine, for what asks from now on."""
        self.native.fake_configure(devices, *capability, ctypes.c_size_t(memory))

    def log(self) -> list[str]:
        """Take what was launched, loaded and recorded since the last time."""
        return self.native.fake_log().decode().splitlines()

    def calls(self, name: str) -> int:
        """Return how often an entry point was called in all."""
        return self.native.fake_calls(name.encode())

    def live(self) -> list[tuple[int, int]]:
        """Return address and size of each allocation."""
        count = self.native.fake_live(None, ctypes.c_size_t(0))
        pairs = (ctypes.c_uint64 * (2 * count))()
        self.native.fake_live(pairs, ctypes.c_size_t(count))
        return [(pairs[2 * i], pairs[2 * i + 1]) for i in range(count)]

    @contextmanager
    def failing(self, name: str, call: int = 1, result: int = 999) -> Iterator[None]:
        """Let one call of an entry point fail, counted from now on."""
        self.native.fake_fail(name.encode(), call, result)
        try:
            yield
        finally:
            self.native.fake_fail(b"", 0, 0)

    # -- what the library asks for ----------------------------------------------------------------------------
    def _load(self, text: bytes, log: int, size: int) -> int:
        try:
            self.modules.append(ptx.load(text.decode()))
        except Exception as problem:
            if log and size:
                said = str(problem).encode()[: size - 1]
                ctypes.memmove(log, said, len(said))
            return -1
        return len(self.modules) - 1

    def _parameters(self, module: int, kernel: bytes, sizes: Any, capacity: int) -> int:
        name = kernel.decode()
        if name not in self.modules[module].kernels:
            return -1
        parameters = self.modules[module].syntax.functions[name].params
        for i, parameter in enumerate(parameters[:capacity]):
            sizes[i] = parameter.size
        return len(parameters)

    def _launch(
        self,
        module: int,
        kernel: bytes,
        grid: Any,
        block: Any,
        shared: int,
        cluster: Any,
        content: int,
        overlaps: int,
    ) -> int:
        try:
            code, name = self.modules[module], kernel.decode()
            values, at = [], content
            for parameter in code.syntax.functions[name].params:
                values.append(ctypes.string_at(at, parameter.size) if parameter.size else b"")
                at += parameter.size
            if overlaps and not code.program(name).waits_for_kernel:
                raise ptx.TooEarly(f"{name} begins before the kernel before it ends, and never waits for it")
            self.memory.show(self.live())
            code.launch(
                name, tuple(grid[:3]), tuple(block[:3]), values, memory=self.memory, shared_bytes=shared,
                adversarial=self.adversarial, cluster=tuple(cluster[:3]) if tuple(cluster[:3]) != (1, 1, 1) else None,
            )  # fmt: skip
        except Exception as problem:
            self.fault = self.fault or problem
            return 1
        return 0

    def _encode(
        self, dtype: int, rank: int, address: int, sizes: Any, strides: Any, box: Any, swizzle: int, out: int
    ) -> int:
        try:
            content = ptx.tensor_map(
                address,
                _DTYPES[dtype],
                sizes[:rank],
                box[:rank],
                strides=strides[: rank - 1],
                swizzle=swizzle,
                tf32=dtype == _TFLOAT32,
            )
        except Exception as problem:
            self.fault = self.fault or problem
            return 1
        ctypes.memmove(out, content, len(content))
        return 0


@functools.cache
def driver() -> FakeDriver:
    """Return the driver of this process, not yet in use."""
    assert GLOBAL_BASE == 0x700000000, "fake.h has the same number"
    return FakeDriver()
