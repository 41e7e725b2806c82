"""Arrays of imaginary libraries on the fake GPU: with strides, on streams of their own, by either protocol."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from tilewright import _runtime


class Foreign:
    """A library's array with `__cuda_array_interface__`, a view with any strides.

    Args:
        base: the elements of the whole allocation, copied there.
        view: makes the view from an array like `base`; its strides and its place are taken over.
        stream: what the interface says of the stream; None says nothing.
        device: the GPU.
    """

    def __init__(
        self, base: np.ndarray, view: Any = lambda x: x, stream: int | None = None, device: int = 0
    ) -> None:
        self.memory = _runtime.DeviceMemory(device, max(base.nbytes, 1))
        if base.nbytes:
            _runtime.cuda_copy_in(
                device, self.memory.pointer, np.ascontiguousarray(base).reshape(-1).view(np.uint8)
            )
        like = view(base)
        self.dtype, self.shape = like.dtype, like.shape
        self.strides = None if like.flags.c_contiguous else like.strides
        self.offset = like.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        self.stream = stream

    @property
    def pointer(self) -> int:
        return self.memory.pointer + self.offset

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        found = {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.pointer, False),
            "strides": self.strides,
            "version": 3,
        }
        return found if self.stream is None else {**found, "stream": self.stream}


class DlpackOnly:
    """A library's array with nothing but DLPack."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.asked: list[Any] = []
        self.dtype, self.shape = array.dtype, array.shape

    def __dlpack__(self, *, stream: Any = None, **options: Any) -> Any:
        self.asked.append(stream)
        return self.array.__dlpack__(stream=stream)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)


class Stream:
    """A stream that neither waits for the default one nor is waited for."""

    def __init__(self, gpu: Any) -> None:
        self.native = gpu.native
        handle = ctypes.c_void_p()
        assert self.native.cuStreamCreate(ctypes.byref(handle), 1) == 0
        assert handle.value
        self.handle: int = handle.value

    def copy(self, pointer: int, array: np.ndarray) -> None:
        """Copy to the device some time later."""
        result = self.native.cuMemcpyHtoDAsync_v2(
            ctypes.c_uint64(pointer), array.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(array.nbytes),
            ctypes.c_void_p(self.handle),
        )  # fmt: skip
        assert result == 0
