"""Memory: bytes with typed views, regions with exact bounds, and the global memory that a test fills and reads.

Addresses are numbers.  Global memory starts at `GLOBAL_BASE` (above 4 GiB, so that a pointer cut to 32 bits misses);
shared, local and parameter addresses are small offsets in their own space, and lie at a window of their own when they
are generic (`WINDOWS`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptx.errors import Misaligned, OutOfBounds, PtxError, PtxFault, ReadOnly
from ptx.types import Array

GLOBAL_BASE = 0x7_0000_0000
WINDOW_SHIFT = 48
WINDOWS = {"shared": 1, "local": 2, "param": 3}  # generic addresses: window number above bit 48; 0 is global
GUARD = 512  # bytes between allocations that belong to nobody
POISON = 0xFF  # fills what was never written: NaN in every float format, -1 in integers
_SIZES = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


class Problem(Exception):
    """What is wrong with an access, and at which position among the lanes; the machine adds line and thread."""

    def __init__(self, kind: type[PtxFault], position: int, text: str) -> None:
        super().__init__(text)
        self.kind, self.position, self.text = kind, position, text


class Segment:
    """Bytes, seen as unsigned integers of 1, 2, 4 and 8 bytes."""

    def __init__(self, size: int, fill: int = POISON) -> None:
        self.bytes = np.full((size + 15) // 16 * 16, fill, np.uint8)
        self.views = {width: self.bytes.view(dtype) for width, dtype in _SIZES.items()}

    def gather(self, index: Array, width: int, count: int) -> list[Array]:
        """Load `count` consecutive words of `width` bytes at byte offsets that are multiples of the width."""
        view = self.views[width]
        at = index // width
        return [view[at + i] if i else view[at] for i in range(count)]

    def scatter(self, index: Array, width: int, values: Sequence[Array]) -> None:
        """Store consecutive words; of lanes with the same address the last one wins."""
        view = self.views[width]
        at = index // width
        for i, value in enumerate(values):
            view[at + i] = value


class Regions:
    """Sorted, disjoint stretches of addresses that may be touched, each with a name."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.names: list[str] = []
        self.writable: list[bool] = []
        self._arrays: tuple[Array, Array, Array] | None = None

    def add(self, start: int, size: int, name: str, writable: bool = True) -> None:
        """Append a region behind all others."""
        assert not self.ends or start >= self.ends[-1]
        for items, item in (
            (self.starts, start), (self.ends, start + size), (self.names, name), (self.writable, writable)
        ):  # fmt: skip
            items.append(item)  # type: ignore[arg-type]
        self._arrays = None

    def find(self, address: int) -> int:
        """Return the number of the last region that starts at or before an address, or -1."""
        return bisect_right(self.starts, address) - 1

    def check(self, addresses: Array, size: int, write: bool) -> None:
        """Raise `Problem` unless every access of `size` bytes lies in one region."""
        if not addresses.size:
            return
        first = self.find(int(addresses.min()))
        if first >= 0 and int(addresses.max()) + size <= self.ends[first]:
            if not write or self.writable[first]:
                return
        if self._arrays is None:
            self._arrays = (
                np.array(self.starts, np.uint64), np.array(self.ends, np.uint64), np.array(self.writable, bool)
            )  # fmt: skip
        starts, ends, writable = self._arrays
        region = np.searchsorted(starts, addresses, "right").astype(np.int64) - 1
        bad = region < 0
        if not bad.all():
            bad |= addresses + np.uint64(size) > ends[region]
        if bad.any():
            position = int(np.flatnonzero(bad)[0])
            raise Problem(OutOfBounds, position, self.describe(int(addresses[position]), size))
        if write and not writable[region].all():
            position = int(np.flatnonzero(~writable[region])[0])
            name = self.names[int(region[position])]
            raise Problem(ReadOnly, position, f"store to {name}, which is read-only")

    def describe(self, address: int, size: int) -> str:
        """Say where an address lies, relative to the regions around it."""
        text = f"{size} bytes at {address:#x} are out of bounds"
        number = self.find(address)
        if number >= 0:
            past = address + size - self.ends[number]
            text += f": {past} bytes past the end of {self.names[number]}"
        if number + 1 < len(self.starts):
            text += f"; {self.starts[number + 1] - address} bytes before {self.names[number + 1]}"
        return text


def check_alignment(addresses: Array, size: int) -> None:
    """Raise `Problem` unless all addresses are multiples of a power of two."""
    if size > 1:
        low = addresses & np.uint64(size - 1)
        if low.any():
            position = int(np.flatnonzero(low)[0])
            raise Problem(Misaligned, position, f"{int(addresses[position]):#x} is not a multiple of {size}")


@dataclass
class Allocation:
    """A piece of global memory as the test handed it over."""

    start: int
    size: int
    dtype: np.dtype
    shape: tuple[int, ...]


class Memory:
    """Global memory.

    Example:
        memory = Memory()
        x = memory.put(numpy.arange(8, dtype=numpy.float32), writable=False)
        y = memory.empty((8,), numpy.float32)
        module.launch("kernel", 1, 8, [x, y, 8], memory=memory)
        memory.get(y)
    """

    def __init__(self) -> None:
        self.regions = Regions()
        self.segment = Segment(1 << 16)
        self.end = GUARD
        self.allocations: dict[int, Allocation] = {}
        self.variables: dict[object, dict[str, int]] = {}  # where the variables of each module are

    def allocate(self, size: int, align: int, name: str, writable: bool = True) -> int:
        """Reserve bytes at a multiple of `align` and of no larger power of two; return the address."""
        at = (self.end + align - 1) // align * align
        if align < 256 and at % (2 * align) == 0:
            at += align
        while at + size + GUARD > self.segment.bytes.size:
            grown = Segment(self.segment.bytes.size * 2)
            grown.bytes[: self.segment.bytes.size] = self.segment.bytes
            self.segment = grown
        self.end = at + size + GUARD
        self.regions.add(GLOBAL_BASE + at, size, name, writable)
        return GLOBAL_BASE + at

    def put(self, array: Any, *, writable: bool = True, align: int = 256, name: str | None = None) -> int:
        """Copy an array (any shape and dtype, made C-contiguous) into memory of its own and return its address.

        Args:
            array: what to copy.
            writable: whether kernels may store to it.
            align: the address is a multiple of this and, below 256, of nothing larger.
            name: for messages; else dtype and shape.
        """
        array = np.asarray(array)
        pointer = self.allocate(array.nbytes, align, name or f"{array.dtype}{list(array.shape)}", writable)
        self.allocations[pointer] = Allocation(pointer, array.nbytes, array.dtype, array.shape)
        self.write(pointer, np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        return pointer

    def empty(
        self, shape: int | tuple[int, ...], dtype: Any, *, align: int = 256, name: str | None = None
    ) -> int:
        """Reserve memory for an array, filled with NaN (integers: with -1)."""
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        kind = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        return self.put(np.full(size, POISON, np.uint8).view(kind).reshape(shape), align=align, name=name)

    def get(self, pointer: int) -> np.ndarray:
        """Return a copy of the array at an address that `put` or `empty` returned."""
        if pointer not in self.allocations:
            raise PtxError(f"{pointer:#x} is no pointer that this memory gave out")
        found = self.allocations[pointer]
        at = pointer - GLOBAL_BASE
        return self.segment.bytes[at : at + found.size].copy().view(found.dtype).reshape(found.shape)

    def write(self, pointer: int, content: Array) -> None:
        """Overwrite bytes from the host's side."""
        at = pointer - GLOBAL_BASE
        self.segment.bytes[at : at + content.size] = content
