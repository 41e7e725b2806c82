"""One file with named sections: what cache entries and saved programs are made of.

    bytes 0-7    magic of the kind of file
    8-11         version of that kind, little endian
    12-15        length of the header
    16-47        SHA-256 of the header
    48-          header: JSON, {"meta": …, "sections": [{"name", "offset", "size", "sha256"}, …]}
    then the sections, each at its own alignment, so that arrays can be used where they are mapped

Reading trusts nothing: every number is checked against the file's length before it is used, and the header's checksum
before it is parsed. A damaged file is a `FormatError`, whatever is in it.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, NamedTuple

from .. import errors

__all__ = ["Container", "Section", "read", "write"]

_FIXED = 48
_HEADER_LIMIT = 256 << 20
_BLOCK = 1 << 20


class Section(NamedTuple):
    """A section to write: its bytes lie at a multiple of `alignment` in the file."""

    name: str
    data: Any
    alignment: int = 64


def _aligned(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


def _as_bytes(data: Any) -> memoryview:
    return memoryview(data).cast("B") if memoryview(data).nbytes else memoryview(b"")


def write(
    file: BinaryIO, magic: bytes, version: int, meta: Mapping[str, Any], sections: Iterable[Section]
) -> int:
    """Write a container.

    Args:
        file: open for writing, at its start.
        magic: 8 bytes.
        version: of this kind of file.
        meta: JSON data that says what the sections are.
        sections: what to store; `data` is anything with the buffer protocol.

    Returns:
        The number of bytes written.
    """
    assert len(magic) == 8
    parts = [(s.name, _as_bytes(s.data), s.alignment) for s in sections]
    digests = [hashlib.sha256(data).hexdigest() for _, data, _ in parts]

    def render(start: int) -> tuple[bytes, list[int]]:
        rows, offsets = [], []
        for (name, data, alignment), digest in zip(parts, digests, strict=True):
            start = _aligned(start, alignment)
            offsets.append(start)
            rows.append({"name": name, "offset": start, "size": data.nbytes, "sha256": digest})
            start += data.nbytes
        return json.dumps({"meta": meta, "sections": rows}, separators=(",", ":")).encode(), offsets

    # Offsets stand in the header, in front of what they point at: leave room for them to grow in digits.
    room = _aligned(_FIXED + len(render(1 << 40)[0]), 64)
    header, offsets = render(room)
    header = header.ljust(room - _FIXED)
    file.write(magic + version.to_bytes(4, "little") + len(header).to_bytes(4, "little"))
    file.write(hashlib.sha256(header).digest() + header)
    position = room
    for (_, data, _), offset in zip(parts, offsets, strict=True):
        file.write(b"\0" * (offset - position))
        file.write(data)
        position = offset + data.nbytes
    return position


class Container:
    """An open container: `meta` and its sections.

    Attributes:
        meta: the JSON data it was written with.
        names: the names of its sections.
    """

    def __init__(
        self, buffer: memoryview, meta: dict[str, Any], rows: dict[str, tuple[int, int, str]], what: str
    ):
        self.meta = meta
        self._buffer = buffer
        self._rows = rows
        self._what = what

    @property
    def names(self) -> list[str]:
        return list(self._rows)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def size(self, name: str) -> int:
        """Return the bytes of a section."""
        return self._row(name)[1]

    def section(self, name: str, *, verify: bool = True) -> memoryview:
        """Return the bytes of a section, without a copy.

        Args:
            name: which one.
            verify: whether its checksum is compared, which reads all of it.

        Raises:
            FormatError: there is no such section, or it is damaged.
        """
        offset, size, digest = self._row(name)
        data = self._buffer[offset : offset + size]
        if verify and hashlib.sha256(data).hexdigest() != digest:
            raise errors.FormatError(f"{self._what}: section '{name}' is damaged (its checksum differs)")
        return data

    def _row(self, name: str) -> tuple[int, int, str]:
        row = self._rows.get(name)
        if row is None:
            raise errors.FormatError(f"{self._what}: there is no section '{name}'")
        return row


def read(source: str | os.PathLike[str] | bytes, magic: bytes, version: int, what: str = "file") -> Container:
    """Open a container.

    Args:
        source: a path, whose file is mapped, or the bytes of a whole container.
        magic: the 8 bytes that it must start with.
        version: the version that this build reads.
        what: what to call it in errors; the path is added.

    Returns:
        The container. Sections keep the mapping alive.

    Raises:
        FormatError: it is no such file, of another version, truncated or damaged.
        OSError: it cannot be opened.
    """
    if isinstance(source, bytes):
        buffer = memoryview(source)
    else:
        what = f"{what} {os.fspath(source)}"
        with open(source, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise errors.FormatError(f"{what}: the file is empty")
            try:
                buffer = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            except ValueError as problem:
                raise errors.FormatError(f"{what}: {problem}") from None
    if len(buffer) < _FIXED or bytes(buffer[:8]) != magic:
        raise errors.FormatError(f"{what}: not such a file (its first bytes differ)")
    found = int.from_bytes(buffer[8:12], "little")
    if found != version:
        age = "a newer" if found > version else "an older"
        raise errors.FormatError(
            f"{what}: format version {found}, this build reads {version}",
            help=f"it was written by {age} Tilewright: save it again with this one.",
        )
    length = int.from_bytes(buffer[12:16], "little")
    if length > min(len(buffer) - _FIXED, _HEADER_LIMIT):
        raise errors.FormatError(f"{what}: truncated (the header needs {length} bytes)")
    header = bytes(buffer[_FIXED : _FIXED + length])
    if hashlib.sha256(header).digest() != bytes(buffer[16:48]):
        raise errors.FormatError(f"{what}: the header is damaged (its checksum differs)")
    return Container(buffer, *_parse(header, len(buffer), what), what)


def _parse(
    header: bytes, file_size: int, what: str
) -> tuple[dict[str, Any], dict[str, tuple[int, int, str]]]:
    def require(good: bool, problem: str) -> None:
        if not good:
            raise errors.FormatError(f"{what}: {problem}")

    try:
        tree = json.loads(header)
    except (ValueError, RecursionError):
        raise errors.FormatError(f"{what}: the header is not JSON") from None
    require(isinstance(tree, dict), "the header is no object")
    meta, sections = tree.get("meta"), tree.get("sections")
    require(isinstance(meta, dict) and isinstance(sections, list), "the header lacks its parts")
    rows: dict[str, tuple[int, int, str]] = {}
    for row in sections:
        require(isinstance(row, dict), "a section is no object")
        name, offset, size, digest = (row.get(k) for k in ("name", "offset", "size", "sha256"))
        require(isinstance(name, str) and isinstance(digest, str), "a section lacks its name or checksum")
        require(name not in rows, f"section {name!r} stands twice")
        numbers = all(type(n) is int and n >= 0 for n in (offset, size))
        require(numbers and offset + size <= file_size, f"section {name!r} reaches past the end of the file")
        rows[name] = (offset, size, digest)
    return meta, rows
