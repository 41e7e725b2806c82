"""`tilewright.Array` on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _runtime, dtypes
from .array import Array

__all__ = ["DeviceArray"]


class DeviceArray(Array):
    """A dense array in the memory of a GPU. CuPy, torch and others take it over without a copy; NumPy gets one.

    What makes its elements may still be under way: reading them waits for it.

    Args:
        memory: where the elements lie.
        shape: sizes.
        dtype: NumPy dtype.
    """

    __slots__ = ("_dtype", "_memory", "_shape")

    def __init__(self, memory: Any, shape: tuple[int, ...], dtype: np.dtype):
        self._memory = memory
        self._shape = shape
        self._dtype = dtype

    @classmethod
    def empty(cls, shape: tuple[int, ...], dtype: np.dtype, device: int, stream: int = 0) -> DeviceArray:
        """Return an array whose elements are not set."""
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return cls(_runtime.DeviceMemory(device, size, stream), shape, dtype)

    @classmethod
    def put(cls, array: np.ndarray, device: int, stream: int = 0) -> DeviceArray:
        """Copy a NumPy array to a device, and wait for it."""
        raw = np.ascontiguousarray(array)
        found = cls.empty(array.shape, array.dtype, device, stream)
        _runtime.cuda_copy_in(device, found.pointer, raw.reshape(-1).view(np.uint8), stream)
        found.memory.settle()
        return found

    @property
    def memory(self) -> Any:
        """The memory that it lies in."""
        return self._memory

    @property
    def pointer(self) -> int:
        """Address of the first element."""
        return self._memory.pointer

    @property
    def dtype(self) -> dtypes.DType:
        return dtypes.by_name(self._dtype.name)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def ndim(self) -> int:
        return len(self._shape)

    @property
    def size(self) -> int:
        return int(np.prod(self._shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        return self.size * self._dtype.itemsize

    @property
    def device(self) -> str:
        return f"cuda:{self._memory.device}"

    def numpy(self) -> np.ndarray:
        """Return a copy on the CPU; waits until the elements are there."""
        raw = np.empty(self.nbytes, np.uint8)
        _runtime.cuda_copy_out(self._memory.device, raw, self.pointer, self._memory.stream)
        return raw.view(self._dtype).reshape(self._shape)

    @property
    def _data(self) -> np.ndarray:  # pyright: ignore[reportIncompatibleVariableOverride]
        # Whatever the base class does with elements works on a copy.
        return self.numpy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("the elements lie on a GPU: NumPy needs a copy")
        found = self.numpy()
        return found if dtype is None else found.astype(dtype, copy=False)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        raise AttributeError("the elements lie on a GPU: use numpy() for a copy")

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        self._memory.lend()
        return {
            "shape": self._shape,
            "typestr": self._dtype.str,
            "data": (self.pointer, False),
            "strides": None,
            "stream": self._memory.stream or 1,
            "version": 3,
        }

    def __dlpack__(
        self, *, stream: Any = None, dl_device: Any = None, copy: bool | None = None, **_: Any
    ) -> Any:
        if copy or (dl_device is not None and tuple(dl_device) != self.__dlpack_device__()):
            raise BufferError("a tilewright.Array on a GPU is handed out where it lies, without a copy")
        self._memory.lend()
        if stream != -1:  # what the consumer puts on its stream comes after what is under way
            self._memory.move_to(stream if stream not in (None, 1) else 0)
        return _runtime.device_to_dlpack(
            self, self.pointer, self._shape, self._dtype.name, self._memory.device
        )

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, self._memory.device)

    def __len__(self) -> int:
        if not self._shape:
            raise TypeError("an array of rank 0 has no length")
        return self._shape[0]

    def __getitem__(self, key: Any) -> Array:
        return Array(self.numpy()[key])

    def __repr__(self) -> str:
        return f"tilewright.Array({self.dtype.name}{list(self._shape)} on {self.device})"
