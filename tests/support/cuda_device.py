"""A GPU made of the PTX interpreter: runs the host functions of a program for `cuda`, and interprets what they launch.

With `pytest --gpu`, the same programs are called on the first device of the machine instead; `--gpu=fake` calls them on the
driver without a GPU.

The host functions are the native code of the object, called as the ABI says; the addresses that they hand around are those
of the interpreter's memory, which they never read themselves.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import ptx
from tilewright import dtypes, errors
from tilewright.programs import executable_of
from tilewright.runtime import devices

_INT64_P = ctypes.POINTER(ctypes.c_int64)


class Arg(ctypes.Structure):
    """TwArg."""

    _fields_ = (("data", ctypes.c_void_p), ("dims", _INT64_P), ("strides", _INT64_P))


_PARALLEL_FOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
_PUSH = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
_POP = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
_ERROR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)
_LAUNCH = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_int32, ctypes.POINTER(ctypes.c_void_p)
)
_READ = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


class Table(ctypes.Structure):
    """TwRt."""

    _fields_ = (
        ("version", ctypes.c_int32),
        ("size", ctypes.c_int32),
        ("parallel_for", _PARALLEL_FOR),
        ("scratch_push", _PUSH),
        ("scratch_pop", _POP),
        ("error", _ERROR),
        ("launch", _LAUNCH),
        ("read", _READ),
    )


#: What `--gpu` says: None, "real" or "fake".
mode: str | None = None


class CallFailed(Exception):
    """An entry reported a status; the first argument is (code, location)."""


class DeviceProgram:
    """A compiled program with the code of its kernels.

    Args:
        lowered: what `Traced.lower("cuda:...")` returns.
        adversarial: seed of the interpreter's unkind mode, or None.
        processors: how many blocks of a persistent kernel there are at most.
    """

    def __init__(self, lowered: Any, adversarial: int | None = None, processors: int = 3) -> None:
        self.executable, _ = executable_of(lowered.program, lowered.target)
        if lowered.program.constants:
            raise ValueError("programs with captured arrays are not run here")
        self.manifest = self.executable.manifest
        self.text = lowered.as_text("object")
        self.module = ptx.load(self.text)
        self.adversarial = adversarial
        self.processors = processors
        self.launches: list[tuple[str, int, int]] = []

    def __call__(self, *arrays: Any) -> list[np.ndarray]:
        """Run `main` on arrays, one per argument, and return the outputs."""
        if mode:
            return self._on_device(arrays)
        return _Call(self).run([np.ascontiguousarray(a) for a in arrays])

    def _on_device(self, arrays: tuple[Any, ...]) -> list[np.ndarray]:
        """Call it as a user would; what it launches is what its host function asks for when nothing is run."""
        kinds = [entry["kind"] for entry in self.manifest["args"]]
        weights = {i: np.asarray(arrays[i], order="C") for i, kind in enumerate(kinds) if kind == "weight"}
        bound = self.executable.bind_arrays(weights) if weights else self.executable
        inputs = [np.asarray(a, order="C") for a, kind in zip(arrays, kinds, strict=True) if kind != "weight"]
        with contextlib.suppress(CallFailed):  # checks, which read what nothing has written
            _Call(self, runs=False).run([np.asarray(a, order="C") for a in arrays])
        try:
            return [devices.host_copy(output) for output in bound.call_tuple(*inputs)]
        except (errors.IndexRangeError, errors.CheckError) as problem:
            raise CallFailed(str(problem)) from None


def tensor_map(words: int, spec: dict[str, Any]) -> bytes:
    """Encode a map from what host code passes: address, sizes, strides in bytes (docs/internals/cuda-launcher.md)."""
    rank = len(spec["box"])
    pointer, *rest = (ctypes.c_uint64 * (2 * rank)).from_address(words)
    is_tf32 = spec["dtype"] == "tfloat32"
    return ptx.tensor_map(
        pointer, np.float32 if is_tf32 else dtypes.by_name(spec["dtype"]).numpy, [max(n, 1) for n in rest[:rank]],
        spec["box"], strides=rest[rank:], swizzle=spec["swizzle"], tf32=is_tf32,
    )  # fmt: skip


class _Call:
    """One call: its memory, its table, what went wrong on the way."""

    def __init__(self, program: DeviceProgram, runs: bool = True) -> None:
        self.program = program
        self.runs = runs
        self.memory = ptx.Memory()
        self.failure: Exception | None = None
        self.reported: tuple[int, int] | None = None
        self.kept: list[Any] = []

    def _guarded(self, action: Callable[..., Any]) -> Callable[..., Any]:
        """Keep an exception for later: it cannot cross native code."""

        @functools.wraps(action)
        def call(*args: Any) -> Any:
            if self.failure is not None:
                return None
            try:
                return action(*args)
            except Exception as problem:
                self.failure = problem
                return None

        return call

    def _table(self) -> Table:
        table = Table(1, ctypes.sizeof(Table))
        table.scratch_push = _PUSH(self._guarded(self._push))
        table.scratch_pop = _POP(lambda rt, memory: None)
        table.error = _ERROR(self._report)
        table.launch = _LAUNCH(self._guarded(self._launch))
        table.read = _READ(self._guarded(self._read))
        return table

    def _push(self, rt: int, size: int) -> int:
        return self.memory.empty((max(size, 1),), np.uint8, name="scratch")

    def _report(self, rt: int, code: int, location: int) -> None:
        self.reported = self.reported or (code, location)

    def _launch(self, rt: int, number: int, blocks: int, threads: int, arguments: Any) -> None:
        kernel = self.program.manifest["device"]["kernels"][number]
        kernel = kernel if isinstance(kernel, dict) else {"name": kernel}
        name = kernel["name"]
        if together := kernel.get("persistent"):
            blocks = min(blocks, max(self.program.processors // together, 1) * together)
        self.program.launches.append((name, blocks, threads))
        if blocks == 0 or not self.runs:
            return
        parameters = self.program.module.program(name).kernel.params
        maps = {each["parameter"]: each for each in kernel.get("maps", [])}
        assert len(parameters) == kernel.get("parameters", len(parameters))
        values = [
            tensor_map(arguments[i], maps[i]) if i in maps else ctypes.string_at(arguments[i], p.size)
            for i, p in enumerate(parameters)
        ]
        self.program.module.launch(
            name, blocks, threads, values, memory=self.memory, adversarial=self.program.adversarial,
            shared_bytes=kernel.get("shared", 0),
        )  # fmt: skip

    def _read(self, rt: int, to: int, source: int, size: int) -> None:
        if not self.runs:
            ctypes.memset(to, 0, size)
            return
        at = source - ptx.memory.GLOBAL_BASE
        ctypes.memmove(to, self.memory.segment.bytes[at : at + size].tobytes(), size)

    def _argument(self, pointer: int, shape: tuple[int, ...]) -> Arg:
        dims = (ctypes.c_int64 * max(len(shape), 1))(*shape)
        steps = [int(np.prod(shape[i + 1 :], dtype=np.int64)) for i in range(len(shape))]
        strides = (ctypes.c_int64 * max(len(shape), 1))(*steps)
        self.kept += [dims, strides]
        return Arg(pointer, ctypes.cast(dims, _INT64_P), ctypes.cast(strides, _INT64_P))

    def run(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        manifest, entries = self.program.manifest, self.program.executable.entry_addresses()
        pointers = [
            self.memory.put(array, writable=entry["donate"])
            for array, entry in zip(arrays, manifest["args"], strict=True)
        ]
        inputs = (Arg * max(len(arrays), 1))(
            *(self._argument(p, a.shape) for p, a in zip(pointers, arrays, strict=True))
        )
        shapes = self._shapes(entries["shapes"], inputs)
        outputs, results = [], []
        for entry, shape in zip(manifest["outputs"], shapes[:-1], strict=True):
            alias = entry["alias"]
            pointer = (
                pointers[alias]
                if alias is not None
                else self.memory.empty(shape, dtypes.by_name(entry["dtype"]).numpy)
            )
            results.append(pointer)
            outputs.append(self._argument(pointer, shape))
        table = self._table()
        scratch = self.memory.empty((max(shapes[-1][0], 1),), np.uint8, name="arena")
        main = ctypes.CFUNCTYPE(
            ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
        )(entries["main"])
        out = (Arg * max(len(outputs), 1))(*outputs)
        status = main(ctypes.addressof(table), ctypes.addressof(inputs), ctypes.addressof(out), scratch)
        if self.failure is not None:
            raise self.failure
        if self.reported is not None or status:
            raise CallFailed(self.reported or (status, -1))
        return [self.memory.get(pointer) for pointer in results]

    def _shapes(self, address: int, inputs: Any) -> list[tuple[int, ...]]:
        ranks = [len(entry["shape"]) for entry in self.program.manifest["outputs"]]
        numbers = (ctypes.c_int64 * (sum(ranks) + 1))()
        function = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)(address)
        if status := function(ctypes.addressof(inputs), ctypes.addressof(numbers)):
            raise CallFailed((status, -1))
        rest = list(numbers)
        shapes = []
        for rank in ranks:
            shapes.append(tuple(rest[:rank]))
            rest = rest[rank:]
        return [*shapes, tuple(rest)]
