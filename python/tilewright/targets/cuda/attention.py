"""Attention: two products with a softmax between them, which blocks of threads do without scores in memory.

On tensor cores a block has 64 rows, or 128 where warpgroups multiply. Without them (float32, or too few rows to fill a
fragment) warps of a block differ by their rows where there are many, and by their keys where there are few. Where few
rows leave multiprocessors without a block, several blocks share the keys of a row, and a second kernel puts together
what they found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod

from ..facts import Access, KernelFacts, OpFacts

#: Columns of queries, keys and values that a block has registers and memory for.
MOST_COLUMNS = 128
#: Rows of a warp without tensor cores; below so many, most of a fragment would be empty.
WARP_ROWS = 16
#: Keys of a warp in one step.
WARP_KEYS = 32
#: Bytes of keys and values that a block has in shared memory, so that two or three blocks find room.
TILE_BYTES = 64 * 1024
#: Rows of a block of warpgroups, keys of one step, tiles of them in shared memory at most, and the memory that they,
#: the queries and results on their way out may take.
GROUP_ROWS, GROUP_KEYS, MOST_STAGES, GROUP_BYTES = 128, 128, 4, 224 * 1024
#: Elements of 16 bits that lines of a tile are made of: 128 bytes.
SPAN = 64
#: Rows that are taken for a number of them that is known at run time only.
UNKNOWN_ROWS = 512
#: Keys of a block, at least: fewer would not pay for its start and for putting parts together.
LEAST_KEYS = 256
#: Blocks of a multiprocessor that keep its memory busy; blocks that share the keys of a row, at most.
BUSY_BLOCKS, MOST_PARTS = 2, 64


@dataclass(frozen=True)
class Attention:
    """What a kernel computes: its operations and sizes, None for those that are known at run time only."""

    #: Numbers of the operations; what computes the queries, if anything does, is not among them.
    members: tuple[int, ...]
    queries: int | None
    batch: int | None
    rows: int | None
    keys: int | None
    #: Elements of a query and of a value.
    depth: int
    columns: int
    #: Bits of keys and of values.
    bits: tuple[int, int]
    #: Whether keys and values are arrays that copies of 16 bytes take line by line.
    copies: bool

    @property
    def fills_fragments(self) -> bool:
        """Whether tensor cores multiply it: whole fragments, more rows than one of them has."""
        whole = self.depth % 16 == 0 and self.columns % 16 == 0
        return whole and (self.rows is None or self.rows > WARP_ROWS)


@dataclass(frozen=True)
class GroupTile:
    """How warpgroups go along the keys (`warpgroup_attention` in Cuda.td)."""

    keys: int
    stages: int
    why: str

    def numbers(self) -> tuple[int, ...]:
        """The config's `tile`."""
        return self.keys, self.stages


@dataclass(frozen=True)
class PlainTile:
    """How warps share attention without tensor cores (`plain_attention` in Cuda.td)."""

    rows: int
    row_warps: int
    key_warps: int
    parts: int
    why: str

    def numbers(self) -> tuple[int, ...]:
        """The config's `tile`."""
        return self.rows, self.row_warps, self.key_warps, self.parts, LEAST_KEYS


def _size(op: OpFacts, loops: set[int]) -> int | None:
    sizes = [op.ranges[loop] for loop in loops]
    return None if None in sizes else prod(size for size in sizes if size is not None)


def _right(op: OpFacts) -> Access | None:
    """The factor that varies along columns of the result."""
    column, inner = op.column_loop(), set(op.reductions())
    found = [a for a in op.inputs if column in a.dims() and a.dims() & inner]
    return found[0] if len(found) == 1 and found[0].producer is None else None


def _queries(kernel: KernelFacts, product: OpFacts) -> OpFacts | None:
    """The operation that computes each query from the same elements of arrays, for this product alone."""
    left = [a for a in product.inputs if product.column_loop() not in a.dims()]
    if len(left) != 1 or left[0].producer is None:
        return None
    found = kernel.ops[left[0].producer]
    readers = [op for op in kernel.ops if found.index in op.producers]
    is_plain = found.kind == "linalg.generic" and not found.reductions() and not found.producers
    return found if is_plain and readers == [product] and "tw.lowering" not in found.attributes else None


def find(kernel: KernelFacts) -> Attention | None:
    """Recognise two products and nothing but rows with two reductions between them."""
    products = [op for op in kernel.ops if op.contracts()]
    if len(products) != 2:
        return None
    first, last = products
    members = [op for op in kernel.ops[first.index : last.index + 1] if op.kind != "linalg.fill"]
    keys, values = _right(first), _right(last)
    if sum(bool(op.reductions()) for op in members) != 4 or keys is None or values is None:
        return None
    if any("tw.lowering" in op.attributes for op in members) or len(first.reductions()) != 1:
        return None
    depth, columns = first.ranges[first.reductions()[0]], last.ranges[last.column_loop()]
    if depth is None or columns is None or not (0 < depth <= MOST_COLUMNS and 0 < columns <= MOST_COLUMNS):
        return None
    queries = _queries(kernel, first)
    column, outer = first.column_loop(), set(first.parallel())
    lines = ((keys, depth, first.reductions()[0]), (values, columns, last.column_loop()))
    return Attention(
        tuple(op.index for op in members),
        None if queries is None else queries.index,
        _size(first, (outer & keys.dims()) - {column}),
        _size(first, outer - keys.dims()),
        first.ranges[column],
        depth,
        columns,
        (keys.bits, values.bits),
        all(
            array.bits in (16, 32)
            and size * array.bits % 128 == 0
            and array.results[-1] == f"d{loop}"
            and all(re.fullmatch(r"d\d+|0", result) for result in array.results)
            for array, size, loop in lines
        ),
    )


def group_tile(attention: Attention, processors: int) -> GroupTile | None:
    """How warpgroups share it on sm_90a, where that pays.

    Args:
        attention: what is computed, on tensor cores.
        processors: multiprocessors of the GPU.

    Returns:
        Numbers and the reason for them; None where half of a block, or half of the multiprocessors, would have nothing
        to do: smaller blocks share such work better.
    """
    rows = UNKNOWN_ROWS if attention.rows is None else attention.rows
    blocks = (attention.batch or 1) * -(-rows // GROUP_ROWS)
    if not attention.copies or rows <= GROUP_ROWS // 2 or 2 * blocks < processors:
        return None
    spans = [-(-size // SPAN) * SPAN * 2 for size in (attention.depth, attention.columns)]
    results = GROUP_ROWS * (32 + 8) * 4
    room = GROUP_BYTES - GROUP_ROWS * spans[0] - results
    stages = min(MOST_STAGES, room // (GROUP_KEYS * sum(spans)))
    count = blocks if None not in (attention.batch, attention.rows) else "unknown many"
    return GroupTile(
        GROUP_KEYS,
        stages,
        f"two warpgroups with {GROUP_ROWS // 2} rows each go along the keys, {GROUP_KEYS} at a time, {stages} tiles "
        f"of keys and of values in flight; {count} blocks on {processors} multiprocessors",
    )


def plain_tile(attention: Attention, processors: int) -> PlainTile | None:
    """How warps and blocks share it without tensor cores; nothing where they cannot, or should not.

    Args:
        attention: what is computed.
        processors: multiprocessors of the GPU.

    Returns:
        Numbers and the reason for them; None for many rows of 16 bits, which tensor cores multiply better even in three
        launches.
    """
    rows = attention.rows
    few = rows is not None and rows <= WARP_ROWS
    if not attention.copies or not (few or min(attention.bits) == 32):
        return None
    own = WARP_ROWS if rows is None else min(WARP_ROWS, 1 << (max(rows, 1) - 1).bit_length())
    row_warps = 4 if rows is None or rows > 2 * WARP_ROWS else 2 if rows > WARP_ROWS else 1
    key_warps = 4 // row_warps
    line = (attention.depth * attention.bits[0] + attention.columns * attention.bits[1]) // 8
    while key_warps > 1 and (
        key_warps * WARP_KEYS * line > TILE_BYTES
        or (attention.keys is not None and key_warps // 2 * WARP_KEYS >= attention.keys)
    ):
        key_warps //= 2
    if rows is None:
        return PlainTile(own, row_warps, key_warps, 1, "a block has all keys of its 64 rows")
    blocks = (attention.batch or 1) * -(-rows // (own * row_warps))
    wanted = min(MOST_PARTS, -(-BUSY_BLOCKS * processors // max(blocks, 1)))
    most = MOST_PARTS if attention.keys is None else attention.keys // LEAST_KEYS
    parts = max(1, min(wanted, most)) if blocks < processors else 1
    if parts > 1:
        why = (
            f"{parts} blocks share the keys of a row, {LEAST_KEYS} or more each: "
            f"{blocks} alone would not keep {processors} multiprocessors busy"
        )
    elif blocks < processors:
        why = f"{attention.keys} keys are too few for several blocks"
    else:
        why = f"{blocks} blocks keep {processors} multiprocessors busy: each has all keys of its rows"
    return PlainTile(own, row_warps, key_warps, parts, why)
