"""Products of few rows with many rows of weights: how a block shares the depth, and what a thread has under way.

Such a product is limited by how fast the weights come. The few rows stay in registers, each thread's part of the depth;
weights pass by, 16 bytes per thread at a time. What follows from it:

- registers hold the few rows: that bounds the units (16 bytes of weights, and what else lies in them) per thread;
- what is not yet there must be asked for long before: that bounds from below the rows of weights under way;
- a block serves as many rows of weights as still leaves every multiprocessor some blocks: the few rows, which each
  block reads, cost least so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod

from ..facts import Access, OpFacts

#: Rows that are few: beyond them, tensor cores or tiles do more with what they read.
MOST_ROWS = 8
WARP, BLOCK = 32, 256
ACCESS_BYTES = 16
#: Words of the few rows in a thread's registers: of one row, and of all of them.
ROW_WORDS, ALL_WORDS = 32, 64
#: Words of weights that a thread has asked for: two of them come while two are used.
ASKED_WORDS = 16
MOST_COLUMNS = 4
#: Blocks that a multiprocessor should have, and results that a block keeps sums of for each of its warps.
BLOCKS_EACH = 2
MOST_SUMS = 2048
#: Rows of weights of a block, by groups one after the other; so many where their number is known only at run time.
MOST_GROUPS, UNKNOWN_GROUPS = 16, 4
#: What fewer threads than a warp would take in one turn is left to others.
LEAST_UNITS = WARP

_TERM = re.compile(r"d(\d+)(?: \* (\d+))?|(\d+)")


@dataclass(frozen=True)
class Split:
    """How a product is split: the numbers of `dots` in Cuda.td, in their order."""

    threads: int
    sets: int
    columns: int
    groups: int
    lanes: int
    turns: int
    #: For the reason only: few rows, bits of a stored element, panels of the depth.
    rows: int
    bits: int
    panels: int

    @property
    def tile(self) -> tuple[int, ...]:
        """What goes into the config."""
        return (self.threads, self.sets, self.columns, self.groups, self.lanes, self.turns)

    def why(self) -> str:
        """Say so."""
        rows = f"{self.rows} rows stay" if self.rows > 1 else "the row stays"
        where = "in registers" if self.panels == 1 else f"in registers, one of {self.panels} parts at a time"
        return (
            f"limited by reading weights: {rows} {where}; {self.threads} threads read "
            f"{self.lanes * self.bits // 8} bytes each of {self.columns} rows of weights before they use the last ones"
        )


def steps(access: Access) -> dict[int, int] | None:
    """How far apart an operand's elements are along each loop; nothing where that is not known."""
    found: dict[int, int] = {}
    for dim, result in enumerate(access.results):
        stride = access.shape[dim + 1 :]
        for part in result.split(" + "):
            match = _TERM.fullmatch(part)
            if not match:
                return None
            if match.group(1) is None:
                continue
            if None in stride:
                return None
            loop, factor = int(match.group(1)), int(match.group(2) or 1)
            found[loop] = found.get(loop, 0) + factor * prod(size for size in stride if size is not None)
    return found


@dataclass(frozen=True)
class _Sides:
    """Which operands are the weights; sizes of the other side, of the weights' rows, of the batch (None: unknown)."""

    weights: tuple[Access, ...]
    few: int
    many: int | None
    batch: int | None


def _size(op: OpFacts, loops: set[int]) -> int | None:
    sizes = [op.ranges[loop] for loop in loops]
    return None if None in sizes else prod(size for size in sizes if size is not None)


def _sides(op: OpFacts) -> _Sides | None:
    """Tell the few rows from the weights; nothing where there are no few."""
    outer, inner, column = set(op.parallel()), set(op.reductions()), op.column_loop()
    right = [a for a in op.inputs if column in a.dims()]
    left = [a for a in op.inputs if column not in a.dims() and a.dims() & inner]
    in_right = {loop for a in right for loop in a.dims()} & outer
    in_left = {loop for a in left for loop in a.dims()} & outer
    if not right or not left or not in_right - in_left or not in_left - in_right:
        return None
    rows, columns = _size(op, in_left - in_right), _size(op, in_right - in_left)
    batch = _size(op, in_left & in_right)
    if rows is not None and (columns is None or rows <= columns):
        return _Sides(tuple(right), rows, columns, batch)
    return _Sides(tuple(left), columns, rows, batch) if columns is not None else None


def split(op: OpFacts, processors: int) -> Split | None:
    """Choose how a product is split.

    Args:
        op: a product.
        processors: multiprocessors of the GPU.

    Returns:
        Nothing where it has more rows, weights do not lie along the depth, or the depth is short or unknown.
    """
    sides = _sides(op)
    inner = op.reductions()
    if sides is None or not 0 < sides.few <= MOST_ROWS or None in [op.ranges[loop] for loop in inner]:
        return None
    ranges = {loop: op.ranges[loop] or 0 for loop in inner}
    known = [(a, steps(a)) for a in sides.weights]
    if not ranges or 0 in ranges.values() or any(found is None for _, found in known):
        return None
    # The weights are what has most bits; a unit is neighbours of them, and all that lies in the same bytes.
    stored, along = max(
        ((a, found) for a, found in known if found is not None),
        key=lambda each: each[0].bits * prod(ranges[loop] for loop in inner if each[1].get(loop)),
    )
    last = [loop for loop in inner if along.get(loop) == 1 and ranges[loop] > 1]
    beside = prod(ranges[loop] for loop in inner if not along.get(loop))
    if len(last) != 1 or stored.bits not in (8, 16, 32) or beside & (beside - 1):
        return None
    return _numbers(sides, stored.bits, ranges[last[0]], beside, prod(ranges.values()), processors)


def _numbers(sides: _Sides, bits: int, length: int, beside: int, depth: int, processors: int) -> Split | None:
    lanes = ACCESS_BYTES * 8 // bits
    while lanes * bits > 32 and (
        length % lanes or lanes * beside > ROW_WORDS or lanes * beside * sides.few > ALL_WORDS
    ):
        lanes //= 2
    elements = lanes * beside
    units = depth // elements
    if length % lanes or elements % 4 or elements > ROW_WORDS or units < LEAST_UNITS:
        return None
    turns = max(1, min(-(-units // BLOCK), ROW_WORDS // elements, ALL_WORDS // (elements * sides.few)))
    # All panels have as many units, but for what whole warps leave over.
    panels = -(-units // (turns * BLOCK))
    threads = -(-units // (panels * turns * WARP)) * WARP
    sets = max(1, BLOCK // threads)
    words = turns * max(1, lanes * bits // 32)
    columns = MOST_COLUMNS
    while columns > 1 and columns * words > ASKED_WORDS:
        columns //= 2
    # What a block holds of sums bounds its groups; the rest is chosen so that all multiprocessors have some blocks.
    most = max(1, min(MOST_GROUPS, MOST_SUMS // (sets * columns * sides.few * (threads // WARP))))
    if sides.many is None:
        groups = UNKNOWN_GROUPS
    else:
        groups = -(-sides.many * (sides.batch or 1) // (sets * columns * processors * BLOCKS_EACH))
    return Split(threads, sets, columns, max(1, min(groups, most)), lanes, turns, sides.few, bits, panels)
