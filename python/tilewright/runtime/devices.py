"""GPUs: what they are, arrays on them, and whose memory a call's outputs are.

Native code (`cpp/Runtime/Cuda`) asks here for what other libraries own: their current stream and their allocators. A
call takes the side of its arrays: torch's stream and allocator for torch tensors, CuPy's for CuPy arrays. Without
either, outputs are `tilewright.Array`s on memory of our own.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
import threading
import weakref
from typing import Any

import numpy as np

from .. import _runtime, errors
from . import interop, weights
from .device_array import DeviceArray

__all__ = [
    "architecture",
    "count",
    "dense",
    "describe",
    "device_put",
    "host_copy",
    "provider",
    "resident",
]


def count() -> int:
    """Return how many GPUs there are; 0 without a driver."""
    try:
        return _runtime.cuda_device_count()
    except errors.DeviceError:
        return 0


def describe(device: int = 0) -> dict[str, Any]:
    """Return a GPU's name, capability, driver version and memory in bytes (free, total).

    Raises:
        DeviceError: there is no such GPU, or it is too old.
    """
    return _runtime.cuda_device(device)


def architecture(device: int | None) -> tuple[int, int] | None:
    """Return the compute capability of a GPU (None: the first); None if there is none."""
    try:
        return _runtime.cuda_device(device or 0)["capability"]
    except errors.DeviceError:
        return None


# -- whose memory ---------------------------------------------------------------------------------------------------
class _Own:
    """Memory of our own, on the stream that other libraries make current."""

    def stream(self, device: int) -> int:
        for name, found in (("torch", _Torch), ("cupy", _Cupy)):
            if name in sys.modules:
                with contextlib.suppress(Exception):  # a build without CUDA has no streams
                    return found().stream(device)
        return 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype, device: int, stream: int) -> tuple[Any, int]:
        array = DeviceArray.empty(shape, dtype, device, stream)
        return array, array.pointer

    def memory(self, size: int, device: int, stream: int) -> tuple[Any, int]:
        found = _runtime.DeviceMemory(device, size, stream)
        return found, found.pointer


class _Cupy(_Own):
    """CuPy's pool, on its current stream."""

    def __init__(self) -> None:
        import cupy  # pyright: ignore[reportMissingImports]

        self._cupy = cupy

    def stream(self, device: int) -> int:
        with self._cupy.cuda.Device(device):
            return int(self._cupy.cuda.get_current_stream().ptr)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype, device: int, stream: int) -> tuple[Any, int]:
        try:
            with self._cupy.cuda.Device(device):
                array = self._cupy.empty(shape, dtype)
        except (TypeError, ValueError):  # a dtype that this version does not know
            return super().empty(shape, dtype, device, stream)
        except self._cupy.cuda.memory.OutOfMemoryError as problem:
            raise _no_memory(problem) from None
        return array, int(array.data.ptr)

    def memory(self, size: int, device: int, stream: int) -> tuple[Any, int]:
        try:
            with self._cupy.cuda.Device(device):
                found = self._cupy.cuda.alloc(size)
        except self._cupy.cuda.memory.OutOfMemoryError as problem:
            raise _no_memory(problem) from None
        return found, int(found.ptr)


class _Torch(_Own):
    """torch's caching allocator, on its current stream."""

    def __init__(self) -> None:
        import torch

        self._torch = torch
        self._dtypes: dict[str, Any] = {}
        # The public way makes an object first.
        self._raw = getattr(torch._C, "_cuda_getCurrentRawStream", None)

    def stream(self, device: int) -> int:
        if self._raw is not None:
            return int(self._raw(device))
        return int(self._torch.cuda.current_stream(device).cuda_stream)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype, device: int, stream: int) -> tuple[Any, int]:
        kind = getattr(self._torch, dtype.name, None)
        if not isinstance(kind, self._torch.dtype):
            return super().empty(shape, dtype, device, stream)
        try:
            array = self._torch.empty(shape, dtype=kind, device=f"cuda:{device}")
        except self._torch.cuda.OutOfMemoryError as problem:
            raise _no_memory(problem) from None
        return array, int(array.data_ptr())

    def memory(self, size: int, device: int, stream: int) -> tuple[Any, int]:
        return self.empty((size,), np.dtype(np.uint8), device, stream)


def _no_memory(problem: BaseException) -> errors.DeviceError:
    return errors.DeviceError(
        f"there is no memory left on the GPU: {str(problem).splitlines()[0]}",
        help="free arrays, or make the call's arrays smaller.",
    )


_PROVIDERS = {interop.TORCH: _Torch, interop.CUPY: _Cupy, interop.DEVICE: _Own}


@functools.cache
def _made(kind: int) -> Any:
    return _PROVIDERS[kind]()


@functools.cache
def _has_cupy() -> bool:
    return importlib.util.find_spec("cupy") is not None


@functools.cache
def _torch_has_gpus() -> bool:
    return bool(sys.modules["torch"].cuda.is_available())


def provider(kinds: int) -> Any:
    """Return who makes the outputs and the arena of a call, and knows the stream.

    Args:
        kinds: bit set of the kinds of its arguments; see `interop`.
    """
    sides = [kind for kind in _PROVIDERS if kinds >> kind & 1]
    if sides == [interop.TORCH] and not _torch_has_gpus():
        sides = [interop.DEVICE]
    if len(sides) == 1:
        return _made(sides[0])
    if not sides and not kinds & ~(1 << interop.NUMPY) and _has_cupy():
        return _made(interop.CUPY)
    return _made(interop.DEVICE)


# -- moving arrays ----------------------------------------------------------------------------------------------------
def device_put(value: Any, device: str | int | None = None) -> Any:
    """Copy an array to a GPU.

    Args:
        value: an array of any library, or anything that NumPy makes an array of.
        device: "cuda", "cuda:1", or the number of a GPU; None is the first one.

    Returns:
        A `tilewright.Array` on that device; one that lies there already comes back as it is.

    Raises:
        ArgumentError: `device` names no GPU.
        DeviceError: there is no driver, no such GPU, or no memory left.

    Example:
        >>> x = tw.device_put(np.ones(4, "float32"), "cuda:0")  # doctest: +SKIP
    """
    number = _number(device)
    if isinstance(value, DeviceArray) and value.memory.device == number:
        return value
    return DeviceArray.put(host_copy(value), number)


def host_copy(value: Any) -> np.ndarray:
    """Return the elements of an array of any library, wherever they lie, as a NumPy array."""
    kind = interop.kind_of_type(type(value))
    if kind == interop.TORCH:
        return interop.to_numpy(value.detach().cpu())
    if kind == interop.CUPY:
        return _made(interop.CUPY)._cupy.asnumpy(value)
    if kind in (interop.NUMPY, interop.NONE, interop.DEVICE, interop.OWN):
        return interop.to_numpy(value)
    interface = getattr(value, "__cuda_array_interface__", None)
    if interface is None:
        return interop.to_numpy(value)
    return _fetched(interface, value, interface.get("stream") or 0)


def _number(device: str | int | None) -> int:
    if device is None or device == "cuda":
        return 0
    text = str(device).removeprefix("cuda:")
    if not text.isdigit():
        errors.fail(
            errors.ArgumentError, f"device_put: {device!r} is no GPU", help="write 'cuda:0', or its number."
        )
    return int(text)


def dense(value: Any, device: int, stream: int) -> Any:
    """Return a row-major array with the elements of one that has gaps, in the order of a stream."""
    kind = interop.kind_of_type(type(value))
    if kind == interop.TORCH:
        return value.contiguous()
    if kind == interop.CUPY:
        return _made(interop.CUPY)._cupy.ascontiguousarray(value)
    return DeviceArray.put(_fetched(value.__cuda_array_interface__, value, stream), device, stream)


def _fetched(interface: dict[str, Any], value: Any, stream: int) -> np.ndarray:
    """Return the elements of an array with strides, by way of all bytes between its first and its last one."""
    dtype = np.dtype(getattr(value, "dtype", interface["typestr"]))
    shape, strides = interface["shape"], interface.get("strides")
    if 0 in shape:
        return np.empty(shape, dtype)
    if strides is None:
        strides = [int(np.prod(shape[i + 1 :], dtype=np.int64)) * dtype.itemsize for i in range(len(shape))]
    first = sum(min(0, (n - 1) * s) for n, s in zip(shape, strides, strict=True))
    last = sum(max(0, (n - 1) * s) for n, s in zip(shape, strides, strict=True)) + dtype.itemsize
    raw = np.empty(last - first, np.uint8)
    start = interface["data"][0]
    _runtime.cuda_copy_out(
        _runtime.cuda_pointer_device(start), raw, start + first, 0 if stream == 1 else stream
    )
    return np.ndarray(shape, dtype, raw, offset=-first, strides=strides).copy()


_lock = threading.RLock()
#: (address, dtype, shape, device) of a weight on the CPU → its copy, and who owns the original; all weak
_resident: dict[Any, tuple[weakref.ref, weakref.ref]] = {}


def resident(value: Any, device: int) -> Any:
    """Return a weight on a device: the same copy for all programs, as long as one of them uses it.

    Args:
        value: a dense NumPy array, or an array of another library.
        device: the GPU.
    """
    array = value if isinstance(value, np.ndarray) else None
    owner = weights._owner(array) if array is not None else None
    if array is None or owner is None:
        return device_put(value, device)
    key = (array.__array_interface__["data"][0], array.dtype.name, array.shape, device)
    with _lock:
        found = _resident.get(key)
        if found is not None and found[1]() is owner() and (copy := found[0]()) is not None:
            return copy
    copy = DeviceArray.put(array, device)

    def forget(gone: weakref.ref) -> None:
        with _lock:
            if (entry := _resident.get(key)) is not None and entry[0] is gone:
                del _resident[key]

    with _lock:
        _resident[key] = (weakref.ref(copy, forget), owner)
    return copy
