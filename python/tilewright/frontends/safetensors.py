"""Read safetensors files through the `safetensors` package, with errors that name the file.

The package checks the header; the data stay in the file (memory-mapped) and become views, one tensor at a time.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator, Mapping

import ml_dtypes
import numpy as np

from ..errors import FormatError, trim_traceback

# Names of the safetensors format; all little-endian.
_DTYPES: dict[str, np.dtype] = {
    "BOOL": np.dtype(bool),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
}


class SafetensorsFile(Mapping[str, np.ndarray]):
    """A mapping from tensor names to read-only arrays that view the file.

    Args:
        path: the file; it must not shrink while it is open.

    Raises:
        FormatError: the file is no valid safetensors file, or a tensor has a dtype that is not known.
        OSError: the file cannot be opened.

    Example:
        >>> SafetensorsFile(path)["embeddings.word_embeddings.weight"].shape      # doctest: +SKIP
        (30522, 384)
    """

    @trim_traceback
    def __init__(self, path: str | os.PathLike[str]) -> None:
        # Imported here: front ends are listed by tools that never open such a file.
        try:
            import safetensors
        except ImportError:
            raise FormatError(
                f"{os.fspath(path)}: reading safetensors files needs the package 'safetensors'"
            ) from None
        self.path = os.fspath(path)
        with open(self.path, "rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            if size < 8:
                raise FormatError(f"{self.path}: {size} bytes is too short for a safetensors header")
            try:
                # The package validates the header: lengths, offsets without holes or overlaps, sizes, the file's end.
                with safetensors.safe_open(self.path, framework="numpy") as opened:
                    names = list(opened.keys())
            except safetensors.SafetensorError as error:
                raise FormatError(f"{self.path}: no valid safetensors file: {error}") from None
            self._map = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        length = int.from_bytes(self._map[:8], "little")
        header = json.loads(self._map[8 : 8 + length])
        self._start = 8 + length
        self._entries = {name: header[name] for name in names}
        self.metadata: dict[str, str] = header.get("__metadata__", {})

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._entries:
            raise KeyError(name)
        entry = self._entries[name]
        dtype = _DTYPES.get(entry["dtype"])
        if dtype is None:
            raise FormatError(f"{self.path}: tensor '{name}': dtype {entry['dtype']} is not supported")
        begin, end = entry["data_offsets"]
        count = (end - begin) // dtype.itemsize
        if count == 0:
            return np.zeros(entry["shape"], dtype)
        offset = self._start + begin
        # The format promises no alignment; compiled code loads whole elements, so an unaligned tensor is copied.
        data = np.frombuffer(self._map, np.uint8, end - begin, offset)
        array = data.view(dtype) if data.ctypes.data % dtype.itemsize == 0 else data.copy().view(dtype)
        return array.reshape(entry["shape"])

    @trim_traceback
    def require(self, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Return a tensor that must be there, of `shape` where one is given; raise `FormatError` otherwise."""
        if name not in self._entries:
            raise FormatError(f"{self.path}: tensor '{name}' is missing")
        array = self[name]
        if shape is not None and array.shape != shape:
            raise FormatError(
                f"{self.path}: tensor '{name}' has shape {list(array.shape)}, expected {list(shape)}"
            )
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
