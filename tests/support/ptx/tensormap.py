"""Bulk copies: `cp.async.bulk` of bytes, and of tiles that a tensor map describes.

A real tensor map is opaque and made by the driver; `tensor_map` makes one of the same size that only this interpreter
understands, with the checks of `cuTensorMapEncodeTiled`.  A tile lies in shared memory with its first coordinate
innermost; a swizzle of 2^b · 16 bytes exchanges chunks of 16 bytes: bits 4 … of the shared address are combined by
exclusive or with bits 7 ….

A map of type TFLOAT32 rounds what it loads to the 10 bits of TF32, to nearest, ties to even; what is not finite stays.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptx import syntax as ast
from ptx.asynchronous import Transfer
from ptx.decode import Decoder, Source, instruction
from ptx.errors import BadOperand, PtxError
from ptx.machine import VISIBLE, Machine, Selection
from ptx.memory import GLOBAL_BASE, WINDOW_SHIFT, Problem
from ptx.program import Op
from ptx.types import TYPES, Array, spread

_LAYOUT = struct.Struct("<4sBBBBQ5I4Q5H")
_MAGIC = b"tile"
_SPANS = {0: 0, 32: 1, 64: 2, 128: 3}
SHARED_BYTES = 128  # alignment of tiles in shared memory


@dataclass(frozen=True)
class TensorMap:
    """A decoded tensor map; all tuples begin with the innermost dimension, `strides` are bytes of the outer ones."""

    address: int
    bytes: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    box: tuple[int, ...]
    swizzle: int
    nan: bool
    tf32: bool

    @property
    def size(self) -> int:
        """Bytes of a tile."""
        return int(np.prod(self.box)) * self.bytes


def tensor_map(
    pointer: int,
    dtype: Any,
    shape: Iterable[int],
    box: Iterable[int],
    *,
    strides: Iterable[int] | None = None,
    swizzle: int = 0,
    nan: bool = False,
    tf32: bool = False,
) -> bytes:
    """Return a tensor map, to be passed as an argument of 128 bytes.

    Args:
        pointer: address of the tensor, a multiple of 16.
        dtype: of its elements.
        shape, box: sizes of the tensor and of a tile, innermost dimension first (1 to 5 of them).
        strides: bytes between elements of the outer dimensions, multiples of 16; by default the tensor is dense.
        swizzle: 0, 32, 64 or 128 bytes.
        nan: fill what lies outside of the tensor with NaN (all ones) instead of zeros.
        tf32: round float32 to TF32 on loads.
    """
    size, sizes, tile = np.dtype(dtype).itemsize, tuple(shape), tuple(box)
    steps = (
        tuple(strides)
        if strides is not None
        else tuple(int(np.prod(sizes[: i + 1])) * size for i in range(len(sizes) - 1))
    )
    problems = {
        "the rank is 1 to 5": not 1 <= len(sizes) <= 5
        or len(tile) != len(sizes)
        or len(steps) != len(sizes) - 1,
        "the address is a multiple of 16": pointer % 16 != 0,
        "strides are multiples of 16": any(step % 16 for step in steps),
        "sizes are positive": any(n < 1 for n in sizes),
        "a tile has 1 to 256 elements per dimension": any(not 1 <= n <= 256 for n in tile),
        "the inner size of a tile is a multiple of 16 bytes": tile[0] * size % 16 != 0,
        "TF32 has four bytes": tf32 and size != 4,
        "swizzle is 0, 32, 64 or 128": swizzle not in _SPANS,
        "the inner size of a tile fits the swizzle": bool(swizzle) and tile[0] * size > swizzle,
    }
    wrong = [text for text, holds in problems.items() if holds]
    if wrong:
        raise PtxError(f"tensor map: {'; '.join(wrong)} (shape {sizes}, tile {tile}, strides {steps})")
    pad = (0,) * (5 - len(sizes))
    packed = _LAYOUT.pack(
        _MAGIC,
        size,
        len(sizes),
        swizzle,
        nan | tf32 << 1,
        pointer,
        *sizes,
        *pad,
        *steps,
        *(0,) * (4 - len(steps)),
        *tile,
        *pad,
    )
    return packed.ljust(128, b"\0")


def decode_map(content: bytes) -> TensorMap | None:
    """Return the tensor map in 128 bytes, or None if there is none."""
    magic, size, rank, swizzle, flags, address, *rest = _LAYOUT.unpack_from(content)
    if magic != _MAGIC:
        return None
    return TensorMap(
        address,
        size,
        tuple(rest[:rank]),
        tuple(rest[5 : 4 + rank]),
        tuple(rest[9 : 9 + rank]),
        swizzle,
        bool(flags & 1),
        bool(flags & 2),
    )


def round_to_tf32(content: Array) -> Array:
    """Return bytes of float32 (one element per row) rounded to TF32: to nearest, ties to even."""
    words = np.ascontiguousarray(content).view(np.uint32)
    rounded = words + np.uint32(0xFFF) + (words >> np.uint32(13) & np.uint32(1)) & np.uint32(0xFFFFE000)
    finite = words & np.uint32(0x7F800000) != 0x7F800000
    return np.where(finite, rounded, words).view(np.uint8)


def swizzled(address: Array, span: int) -> Array:
    """Exchange chunks of 16 bytes within the rows of a swizzle of `span` bytes (0 for none)."""
    mask = (1 << _SPANS[span]) - 1
    return address ^ (((address >> 7) & mask) << 4)


@dataclass
class Tile:
    """Where the elements of a tile lie: bytes in global memory, relative bytes in shared memory, whether they exist."""

    source: Array
    target: Array
    inside: Array


def locate(tile: TensorMap, start: tuple[int, ...], shared: int) -> Tile:
    """Return the places of all elements of the tile that begins at a coordinate and lies at a shared address."""
    index = np.indices(tile.box[::-1]).reshape(len(tile.box), -1)[::-1]  # per dimension, innermost first
    offset = np.zeros(index.shape[1], np.int64)
    scale = 1
    for number, size in zip(index, tile.box):
        offset += number * scale
        scale *= size
    coordinates = index + np.array(start, np.int64)[:, None]
    inside = np.logical_and.reduce((coordinates >= 0) & (coordinates < np.array(tile.shape)[:, None]))
    steps = np.array((tile.bytes, *tile.strides), np.int64)[:, None]
    source = tile.address + (coordinates * steps).sum(0)
    return Tile(source, swizzled(shared + offset * tile.bytes, tile.swizzle), inside)


def window(address: Array) -> Array:
    """Return addresses without their generic window."""
    return address & np.uint64((1 << WINDOW_SHIFT) - 1)


class Bulk:
    """What one kind of bulk copy needs of its operands, and the issue of copies thread by thread."""

    def __init__(self, ins: ast.Instruction, d: Decoder) -> None:
        self.ins = ins
        self.tensor = ins.has("tensor")
        self.multicast: Source | None = None
        extra = list(ins.operands)
        self.store = ins.has("bulk_group")
        self.to, self.from_ = extra.pop(0), extra.pop(0)
        self.bytes = None if self.tensor else d.source(extra.pop(0), TYPES["u32"])
        self.barrier = None if self.store else d.address(extra.pop(0))
        if any("multicast" in part for part in ins.parts):
            self.multicast = d.source(extra.pop(0), TYPES["u16"])
        described = self.to if self.store else self.from_
        self.coordinates: list[Source] = []
        if self.tensor:
            if (
                not isinstance(described, ast.Address)
                or not described.extra
                or not isinstance(described.extra[0], ast.Vector)
            ):
                raise d.unsupported(f"{ins.opcode}: no coordinates")
            self.coordinates = [d.source(o, TYPES["s32"]) for o in described.extra[0].items]
        self.to_address, self.from_address = d.address(self.to), d.address(self.from_)

    def run(self, m: Machine, s: Selection) -> None:
        """Issue the copies of all lanes of a selection."""
        lanes = m.lanes[s]
        to, from_ = self.to_address(m, s), self.from_address(m, s)
        starts = [spread(c(m, s), lanes.size) for c in self.coordinates]
        sizes = spread(self.bytes(m, s), lanes.size) if self.bytes is not None else None
        barriers = window(self.barrier(m, s)) if self.barrier is not None else None
        masks = spread(self.multicast(m, s), lanes.size) if self.multicast is not None else None
        for i, lane in enumerate(lanes):
            one = np.array([lane])
            start = tuple(int(c[i]) for c in starts)
            if self.store:
                self.issue_store(m, one, to[i], int(window(from_)[i]), start, sizes, i)
            else:
                assert barriers is not None
                mask = None if masks is None else int(masks[i])
                self.issue_load(m, one, window(to)[i], from_[i], barriers[i], start, sizes, i, mask)

    def map_at(self, m: Machine, lane: np.ndarray, address: np.uint64, rank: int) -> TensorMap:
        """Read the tensor map at a generic address."""
        ((space, _, low),) = m.split(np.array([address], np.uint64), "generic")
        segment, index = m.place(self.ins, lane, space, low, 64, False)
        found = decode_map(segment.bytes[int(index[0]) : int(index[0]) + 128].tobytes())
        if found is None or len(found.shape) != rank:
            m.fail(BadOperand, self.ins, lane, 0, f"no tensor map of {rank} dimensions at {int(address):#x}")
        return found

    def shared_place(
        self, m: Machine, lane: np.ndarray, address: Any, size: int, align: int, write: bool
    ) -> int:
        """Check bytes of shared memory and return where they begin in the segment of all blocks."""
        at = np.array([address], np.uint64)
        if int(at[0]) % align:
            m.fail(
                BadOperand, self.ins, lane, 0, f"shared address {int(at[0]):#x} is not a multiple of {align}"
            )
        _, index = m.place(self.ins, lane, "shared", at, 1, write)
        m.place(self.ins, lane, "shared", at + np.uint64(size - 1), 1, write)
        return int(index[0])

    def pieces(
        self, m: Machine, lane: np.ndarray, shared: int, address: Any, start: Any, sizes: Any, i: int
    ) -> tuple[Tile, int, bool, bool]:
        """Return where the bytes of a copy lie (per element), their size, whether missing ones are NaN, others rounded."""
        base = shared % m.shared_stride
        if self.tensor:
            tile = self.map_at(m, lane, address, len(start))
            found, width, nan, tf32 = locate(tile, start, base), tile.bytes, tile.nan, tile.tf32
        else:
            size = int(sizes[i])
            if size % 16 or int(address) % 16:
                m.fail(
                    BadOperand, self.ins, lane, 0, f"{size} bytes at {int(address):#x}: not multiples of 16"
                )
            step = np.arange(0, size, 16)
            found, width, nan, tf32 = (
                Tile(int(window(address)) + step, base + step, np.ones(step.size, bool)),
                16,
                False,
                False,
            )
        found.target = found.target + (shared - base)
        return found, width, nan, tf32

    def check_global(self, m: Machine, lane: np.ndarray, tile: Tile, width: int, write: bool) -> None:
        """Check that the elements that exist lie in allocations."""
        for address in tile.source[tile.inside][[0, -1]] if tile.inside.any() else ():
            m.place(self.ins, lane, "global", np.array([address], np.uint64), 1, write)
            m.place(self.ins, lane, "global", np.array([address + width - 1], np.uint64), 1, write)

    def issue_load(
        self, m: Machine, lane, to, from_, barrier, start, sizes, i: int, mask: int | None
    ) -> None:
        """Start a copy to shared memory, of several blocks if it is multicast."""
        size = self.map_at(m, lane, from_, len(start)).size if self.tensor else int(sizes[i])
        index = self.shared_place(m, lane, to, size, SHARED_BYTES if self.tensor else 16, True)
        at = self.shared_place(m, lane, barrier, 8, 8, False)
        tile, width, nan, tf32 = self.pieces(m, lane, index, from_, start, sizes, i)
        self.check_global(m, lane, tile, width, False)
        cluster = int(np.prod(m.settings.cluster))
        own = index // m.shared_stride
        blocks = (
            [own] if mask is None else [own // cluster * cluster + r for r in range(cluster) if mask >> r & 1]
        )
        for block in blocks:
            shift = (block - own) * m.shared_stride
            key = (at // m.shared_stride + (block - own if mask is not None else 0), at % m.shared_stride)
            try:
                m.check_alive(np.array([block]))
            except Problem as problem:
                m.fail(problem.kind, self.ins, lane, 0, problem.text)
            m.mbarriers.get(self.ins, lane, key)
            chunks = np.unique(tile.target // 16 * 16) + shift
            m.asynchronous.claim(self.ins, np.full(chunks.size, lane[0]), chunks, 16)
            seen = m.races.snapshot(int(m.warp_of[lane[0]])) if m.races is not None else None

            def land(key=key, shift=shift, seen=seen) -> None:
                column = np.arange(width)
                source = np.where(tile.inside, tile.source - GLOBAL_BASE, 0)[:, None] + column
                fill = np.uint8(255 if nan else 0)
                content = np.where(tile.inside[:, None], m.memory.segment.bytes[source], fill)
                if tf32:
                    content = round_to_tf32(content)
                m.asynchronous.settle(tile.target[:, None] + shift + column, content, VISIBLE)
                if m.races is not None and seen is not None:
                    m.races.landed(key, seen)
                m.mbarriers.transfer(key, size)

            m.asynchronous.transfers.append(Transfer(self.ins, key, land))

    def issue_store(self, m: Machine, lane, to, from_, start, sizes, i: int) -> None:
        """Start a copy from shared to global memory; the source is read when the group is waited for."""
        size = self.map_at(m, lane, to, len(start)).size if self.tensor else int(sizes[i])
        index = self.shared_place(m, lane, from_, size, SHARED_BYTES if self.tensor else 16, False)
        tile, width, _, _ = self.pieces(m, lane, index, to, start, sizes, i)
        self.check_global(m, lane, tile, width, True)
        chunks = np.unique(tile.target // 16 * 16)
        who = np.full(chunks.size, lane[0])
        m.touch_shared(self.ins, who, chunks, 16, False)
        m.check_proxy(self.ins, who, chunks, 16)
        content: list[Array] = []
        column = np.arange(width)

        def read() -> None:
            if not content:
                m.touch_shared(self.ins, who, chunks, 16, False)
                content.append(m.shared.bytes[tile.target[:, None] + column].copy())

        def land() -> None:
            read()
            there = tile.source[tile.inside, None] - GLOBAL_BASE + column
            m.memory.segment.bytes[there] = content[0][tile.inside]

        group = int(m.asynchronous.bulk_committed[lane[0]])
        m.asynchronous.transfers.append(Transfer(self.ins, None, land, int(lane[0]), group, read, True))


@instruction("cp.async.bulk")
def bulk(ins: ast.Instruction, d: Decoder) -> Op:
    """`cp.async.bulk…`: copies, prefetches, groups."""
    if ins.has("commit_group"):

        def commit(m: Machine, s: Selection) -> None:
            m.asynchronous.bulk_committed[s] += 1

        return commit
    if ins.has("wait_group"):
        pending, reading = ins.operands[0], ins.has("read")
        if not isinstance(pending, ast.Immediate):
            raise d.unsupported(ins.opcode)
        count = int(pending.value)
        return lambda m, s: m.asynchronous.wait_bulk(m.lanes[s], count, reading)
    if ins.has("prefetch"):
        return lambda m, s: None
    if ins.has("reduce") or ins.has("im2col") or any("gather" in p or "scatter" in p for p in ins.parts):
        raise d.unsupported(ins.opcode)
    if not ins.has("tensor") and not ins.has("bulk_group") and "shared::cta" in ins.parts[4:]:
        raise d.unsupported(ins.opcode)
    return Bulk(ins, d).run
