"""`tilewright.Array`: what a call returns when its inputs came from different libraries."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _runtime, dtypes
from . import interop

__all__ = ["Array"]


class Array:
    """A dense array on the CPU that any library can take over without a copy.

    Args:
        data: an array of any library with DLPack, or anything NumPy makes an array of.

    Example:
        >>> import numpy as np, tilewright as tw
        >>> tw.Array(np.ones(3, "float32"))
        tilewright.Array([1., 1., 1.], dtype=float32)
    """

    __slots__ = ("__weakref__", "_data")
    # Mixed arithmetic with ndarrays comes here instead of looping over the elements.
    __array_priority__ = 1000

    def __init__(self, data: Any):
        self._data = interop.to_numpy(data)

    @property
    def dtype(self) -> dtypes.DType:
        """The element type, a row of `tilewright.dtypes`."""
        return dtypes.by_name(self._data.dtype.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes."""
        return self._data.shape

    @property
    def ndim(self) -> int:
        """The number of dims."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self._data.nbytes

    @property
    def device(self) -> str:
        """Where the elements lie."""
        return "cpu"

    def numpy(self) -> np.ndarray:
        """Return a NumPy array on the same memory."""
        return self._data

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is None:
            return np.asarray(self._data, dtype=dtype)
        if copy:
            return np.array(self._data, dtype=dtype, copy=True)
        if dtype is not None and np.dtype(dtype) != self._data.dtype:
            raise ValueError("a cast needs a copy")
        return self._data

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self._data.__array_interface__

    def __dlpack__(self, **_: Any) -> Any:
        return _runtime.to_dlpack(self._data)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, key: Any) -> Array:
        return Array(self._data[key])

    def __float__(self) -> float:
        return float(self._data)

    def __int__(self) -> int:
        return int(self._data)

    def __bool__(self) -> bool:
        return bool(self._data)

    def __index__(self) -> int:
        return self._data.__index__()

    def item(self) -> Any:
        """Return the only element as a Python number."""
        return self._data.item()

    def tolist(self) -> Any:
        """Return nested lists of Python numbers."""
        return self._data.tolist()

    def __repr__(self) -> str:
        return "tilewright.Array" + repr(self._data).removeprefix("array")

    def _repr_html_(self) -> str:
        body = repr(self._data).replace("&", "&amp;").replace("<", "&lt;")
        return f"<b>tilewright.Array</b> {self.dtype.mlir}{list(self.shape)}<pre>{body}</pre>"
