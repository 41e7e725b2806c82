"""Read GGUF model files without trusting them.

The file is mapped, never read as a whole: opening one walks the header (metadata and tensor table), and tensors are
views of the mapping. Every length, count and offset of the file is checked against the file's size before it is used,
so a truncated, damaged or hostile file ends in a `FormatError` that names the file, the byte offset and the field; it
can neither crash the process nor make it allocate more than the file is long.

Source: the GGUF specification, versions 2 and 3 (little-endian).
"""

from __future__ import annotations

import itertools
import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import FormatError, trim_traceback
from .ggml_types import PLAIN, TYPES, GgmlType

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MAX_DIMS = 4
# The specification bounds keys at 2^16 - 1 bytes; tensor names are bounded by 64 in ggml, and nobody needs more.
MAX_KEY_BYTES = 65535
MAX_NAME_BYTES = 1024
# Beyond this an element count cannot be addressed by the int64 arithmetic of compiled code.
MAX_ELEMENTS = 2**62

_STRING, _ARRAY = 8, 9
_SCALARS: dict[int, tuple[str, str]] = {
    0: ("uint8", "<u1"),
    1: ("int8", "<i1"),
    2: ("uint16", "<u2"),
    3: ("int16", "<i2"),
    4: ("uint32", "<u4"),
    5: ("int32", "<i4"),
    6: ("float32", "<f4"),
    7: ("bool", "|u1"),
    10: ("uint64", "<u8"),
    11: ("int64", "<i8"),
    12: ("float64", "<f8"),
}


class _Cursor:
    """A position in the mapped file; each read is checked against the end first."""

    def __init__(self, path: str, data: mmap.mmap | bytes) -> None:
        self.path, self.data, self.at, self.end = path, data, 0, len(data)

    def fail(self, field: str, what: str, at: int | None = None) -> FormatError:
        """Make the error for `field`, at the current offset unless `at` says otherwise."""
        return FormatError(f"{self.path}: offset {self.at if at is None else at}: {field}: {what}")

    def skip(self, size: int, field: str) -> int:
        """Step over `size` bytes and return where they start."""
        start = self.at
        if size < 0 or size > self.end - start:
            raise self.fail(
                field, f"needs {size} bytes but the file has {self.end - start} left (truncated?)"
            )
        self.at = start + size
        return start

    def u32(self, field: str) -> int:
        start = self.skip(4, field)
        return struct.unpack_from("<I", self.data, start)[0]

    def u64(self, field: str) -> int:
        start = self.skip(8, field)
        return struct.unpack_from("<Q", self.data, start)[0]

    def text(self, field: str, limit: int | None = None) -> str:
        length_at = self.at
        length = self.u64(field + " length")
        if limit is not None and length > limit:
            raise self.fail(field, f"length {length} exceeds the limit of {limit} bytes", length_at)
        start = self.skip(length, field)
        try:
            return self.data[start : start + length].decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.fail(field, f"not UTF-8 ({error.reason})", start) from None


class _LazyArray:
    """An array of the metadata, decoded when somebody asks for it (a vocabulary has 10^5 strings)."""

    def __init__(self, cursor: _Cursor, key: str, kind: int, count: int) -> None:
        self.key, self.kind, self.count, self.start = key, kind, count, cursor.at
        field = f"metadata '{key}'"
        if kind == _STRING:
            # A string takes 8 bytes at least, so a count that fits bounds the walk by the file's size.
            if count > (cursor.end - cursor.at) // 8:
                raise cursor.fail(field, f"array of {count} strings does not fit into the file")
            cursor.at = self._walk_strings(cursor, field)
        else:
            cursor.skip(count * np.dtype(_SCALARS[kind][1]).itemsize, f"{field} array of {count} elements")

    def _walk_strings(self, cursor: _Cursor, field: str) -> int:
        """Step over the strings; the loop is written out because it runs once per token of a vocabulary."""
        at, end, data, unpack = cursor.at, cursor.end, cursor.data, struct.Struct("<Q").unpack_from
        for index in range(self.count):
            if end - at < 8:
                raise cursor.fail(f"{field}[{index}]", "the file ends inside the array", at)
            (length,) = unpack(data, at)
            if length > end - at - 8:
                raise cursor.fail(
                    f"{field}[{index}]", f"string of {length} bytes does not fit into the file", at
                )
            at += 8 + length
        return at

    def decode(self, cursor: _Cursor) -> list[str] | np.ndarray:
        if self.kind != _STRING:
            dtype = np.dtype(_SCALARS[self.kind][1])
            values = np.frombuffer(cursor.data, dtype, self.count, self.start)
            return values.astype(bool) if self.kind == 7 else values.copy()
        at, data, unpack, strings = self.start, cursor.data, struct.Struct("<Q").unpack_from, []
        for index in range(self.count):
            (length,) = unpack(data, at)
            try:
                strings.append(data[at + 8 : at + 8 + length].decode("utf-8"))
            except UnicodeDecodeError as error:
                raise cursor.fail(
                    f"metadata '{self.key}'[{index}]", f"not UTF-8 ({error.reason})", at
                ) from None
            at += 8 + length
        return strings


class Metadata(Mapping[str, Any]):
    """The key-value pairs of a file. Arrays come as `list[str]` or a NumPy array and are decoded on first use."""

    def __init__(self, cursor: _Cursor) -> None:
        self._cursor = cursor
        self._values: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        if isinstance(value, _LazyArray):
            value = self._values[key] = value.decode(self._cursor)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @trim_traceback
    def require(self, key: str, kind: type | tuple[type, ...]) -> Any:
        """Return a value that must be there and be of `kind`; raise `FormatError` otherwise."""
        if key not in self._values:
            raise FormatError(f"{self._cursor.path}: metadata '{key}' is missing")
        return self._checked(key, kind)

    @trim_traceback
    def optional(self, key: str, kind: type | tuple[type, ...], default: Any) -> Any:
        """Return a value of `kind`, or `default` where the file does not have the key."""
        return self._checked(key, kind) if key in self._values else default

    def _checked(self, key: str, kind: type | tuple[type, ...]) -> Any:
        value = self[key]
        # bool is an int in Python; a flag where a number is wanted is a damaged file all the same.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            names = kind.__name__ if isinstance(kind, type) else " or ".join(k.__name__ for k in kind)
            raise FormatError(
                f"{self._cursor.path}: metadata '{key}' is {type(value).__name__}, expected {names}"
            )
        return value


@dataclass(frozen=True)
class Tensor:
    """One row of the tensor table. `shape` is in NumPy order (the file stores it reversed)."""

    name: str
    shape: tuple[int, ...]
    type: GgmlType
    offset: int
    nbytes: int

    @property
    def quantised(self) -> bool:
        """Whether the data are blocks of a quantised format rather than plain elements."""
        return self.type.name not in PLAIN


class GGUFFile:
    """A mapped GGUF file: `metadata`, `tensors` by name, and the data as views of the mapping.

    Args:
        path: the file; it must not shrink while it is open.

    Raises:
        FormatError: the file is no GGUF file, is damaged, or needs a feature this reader does not know.
        OSError: the file cannot be opened.

    Example:
        >>> with GGUFFile(path) as file:                                    # doctest: +SKIP
        ...     file.metadata["general.architecture"]
        'llama'
    """

    @trim_traceback
    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        with open(self.path, "rb") as handle:
            status = os.fstat(handle.fileno())
            self.size = status.st_size
            if self.size < 24:
                raise FormatError(f"{self.path}: {self.size} bytes is too short for a GGUF header (24 bytes)")
            self._map: mmap.mmap | None = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        # Names the content for caches without reading it: a changed file has another size or time.
        self.identity = (self.size, status.st_mtime_ns)
        try:
            self._parse(_Cursor(self.path, self._map))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> GGUFFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the mapping; views that are still in use keep it alive until they are gone."""
        mapped, self._map = self._map, None
        if mapped is not None:
            try:
                mapped.close()
            except BufferError:
                pass

    def _parse(self, cursor: _Cursor) -> None:
        magic = cursor.data[:4]
        cursor.skip(4, "magic")
        if magic != MAGIC:
            raise cursor.fail("magic", f"{bytes(magic)!r} is not {MAGIC!r}: no GGUF file", 0)
        self.version = cursor.u32("version")
        if self.version not in VERSIONS:
            swapped = int.from_bytes(self.version.to_bytes(4, "little"), "big")
            reason = "big-endian files are not supported" if swapped in VERSIONS else "supported are 2 and 3"
            raise cursor.fail("version", f"{self.version}; {reason}", 4)
        tensor_count = cursor.u64("tensor count")
        pair_count = cursor.u64("metadata count")
        # The smallest pair takes 8 + 1 + 4 + 1 bytes, the smallest tensor row 8 + 1 + 4 + 8 + 4 + 8.
        for field, count, least in (("tensor count", tensor_count, 33), ("metadata count", pair_count, 14)):
            if count > self.size // least:
                raise cursor.fail(field, f"{count} entries do not fit into {self.size} bytes", 8)
        self.metadata = Metadata(cursor)
        for _ in range(pair_count):
            self._parse_pair(cursor)
        self.alignment = self.metadata.optional("general.alignment", int, DEFAULT_ALIGNMENT)
        if self.alignment < 8 or self.alignment & (self.alignment - 1) or self.alignment > 1 << 20:
            raise cursor.fail(
                "metadata 'general.alignment'", f"{self.alignment} is no power of two from 8 to 2^20"
            )
        rows = [self._parse_tensor(cursor) for _ in range(tensor_count)]
        self.data_offset = -(-cursor.at // self.alignment) * self.alignment
        self.tensors = self._place(cursor, rows)

    def _parse_pair(self, cursor: _Cursor) -> None:
        start = cursor.at
        key = cursor.text("metadata key", MAX_KEY_BYTES)
        field = f"metadata '{key}'"
        if key in self.metadata:
            raise cursor.fail(field, "the key appears twice", start)
        kind = cursor.u32(field + " type")
        self.metadata._values[key] = self._parse_value(cursor, key, field, kind)

    def _parse_value(self, cursor: _Cursor, key: str, field: str, kind: int) -> Any:
        if kind == _STRING:
            return cursor.text(field)
        if kind == _ARRAY:
            at = cursor.at
            inner = cursor.u32(field + " element type")
            if inner == _ARRAY:
                raise cursor.fail(field, "nested arrays are not supported", at)
            if inner != _STRING and inner not in _SCALARS:
                raise cursor.fail(field, f"unknown element type {inner}", at)
            return _LazyArray(cursor, key, inner, cursor.u64(field + " count"))
        if kind not in _SCALARS:
            raise cursor.fail(field, f"unknown value type {kind}", cursor.at - 4)
        dtype = np.dtype(_SCALARS[kind][1])
        start = cursor.skip(dtype.itemsize, field)
        value = np.frombuffer(cursor.data, dtype, 1, start)[0].item()
        if kind == 7:
            if value not in (0, 1):
                raise cursor.fail(field, f"{value} is no bool", start)
            return bool(value)
        return value

    def _parse_tensor(self, cursor: _Cursor) -> tuple[Tensor, int]:
        """Read one row of the tensor table; its offset is still relative to the data section."""
        start = cursor.at
        name = cursor.text("tensor name", MAX_NAME_BYTES)
        field = f"tensor '{name}'"
        rank = cursor.u32(field + " rank")
        if rank > MAX_DIMS:
            raise cursor.fail(field, f"rank {rank} exceeds {MAX_DIMS}", cursor.at - 4)
        shape = tuple(cursor.u64(f"{field} dim {axis}") for axis in range(rank))[::-1]
        code = cursor.u32(field + " type")
        if code not in TYPES:
            raise cursor.fail(field, f"unknown tensor type {code}", cursor.at - 4)
        kind = TYPES[code]
        offset = cursor.u64(field + " offset")
        elements = 1
        for size in shape:
            elements *= size
            # Checked at each step: a product of hostile dims must not grow without bound.
            if size == 0 or elements > MAX_ELEMENTS:
                raise cursor.fail(field, f"impossible shape {list(shape)}", start)
        row = shape[-1] if shape else 1
        if row % kind.block:
            raise cursor.fail(
                field, f"rows of {row} are no multiple of the {kind.name} block of {kind.block}", start
            )
        return Tensor(name, shape, kind, offset, elements // kind.block * kind.bytes), start

    def _place(self, cursor: _Cursor, rows: list[tuple[Tensor, int]]) -> dict[str, Tensor]:
        """Check alignment, bounds and overlaps, and make the offsets absolute."""
        tensors: dict[str, Tensor] = {}
        for tensor, at in rows:
            field = f"tensor '{tensor.name}'"
            if tensor.name in tensors:
                raise cursor.fail(field, "the name appears twice", at)
            if tensor.offset % self.alignment:
                raise cursor.fail(field, f"offset {tensor.offset} is not aligned to {self.alignment}", at)
            end = self.data_offset + tensor.offset + tensor.nbytes
            if end > self.size:
                raise cursor.fail(field, f"data end at {end} but the file at {self.size} (truncated?)", at)
            tensors[tensor.name] = Tensor(
                tensor.name, tensor.shape, tensor.type, self.data_offset + tensor.offset, tensor.nbytes
            )
        in_order = sorted(tensors.values(), key=lambda tensor: tensor.offset)
        for first, second in itertools.pairwise(in_order):
            if first.offset + first.nbytes > second.offset:
                raise cursor.fail(f"tensor '{second.name}'", f"overlaps tensor '{first.name}'", second.offset)
        return tensors

    @trim_traceback
    def tensor(self, name: str) -> Tensor:
        """Return the table row of `name`; raise `FormatError` where there is none."""
        try:
            return self.tensors[name]
        except KeyError:
            raise FormatError(f"{self.path}: tensor '{name}' is missing") from None

    @trim_traceback
    def raw(self, name: str) -> np.ndarray:
        """Return the data of a tensor as a read-only view of the file, without a copy.

        Returns:
            Plain types: an array `[*shape]` of the element's dtype. Quantised types: `uint8 [*shape[:-1], row bytes]`,
            the blocks as they are stored, which `tilewright.formats` splits into planes.
        """
        tensor = self.tensor(name)
        if self._map is None:
            raise FormatError(f"{self.path}: tensor '{name}': the file is closed")
        if tensor.quantised:
            row_bytes = tensor.shape[-1] // tensor.type.block * tensor.type.bytes
            data = np.frombuffer(self._map, np.uint8, tensor.nbytes, tensor.offset)
            return data.reshape(*tensor.shape[:-1], row_bytes)
        dtype = PLAIN[tensor.type.name]
        return np.frombuffer(self._map, dtype, tensor.nbytes // dtype.itemsize, tensor.offset).reshape(
            tensor.shape
        )

    def release(self, name: str) -> None:
        """Let the system drop the pages of a tensor that is not needed any more; reading it again maps them anew."""
        tensor = self.tensor(name)
        page = mmap.PAGESIZE
        first, last = -(-tensor.offset // page) * page, (tensor.offset + tensor.nbytes) // page * page
        if self._map is not None and last > first and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED, first, last - first)
