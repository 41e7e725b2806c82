"""How many threads share a row of which the total so far is wanted at every element: cumsum and its like."""

from __future__ import annotations

from math import prod

from ..facts import OpFacts
from .rows import BUSY_THREADS, MOST_THREADS, WARP

#: Bytes that a thread takes in one turn.
TURN_BYTES = 16
#: Threads of a row of unknown length.
UNKNOWN_THREADS = 128


def threads(op: OpFacts) -> int | None:
    """Choose the threads of a row.

    Returns:
        None where a thread does a row: its neighbours have the neighbouring elements, an order is to be kept, or there
        are too few elements.
    """
    along = op.reductions()[0]
    if "running_product" in op.attributes or not all(
        a.contiguous_along(along) for a in op.accesses if along in a.dims()
    ):
        return None
    length = op.ranges[along]
    if length is None:
        return UNKNOWN_THREADS
    if length < WARP:
        return None
    sizes = [op.ranges[loop] for loop in op.parallel()]
    rows = None if None in sizes else prod(size for size in sizes if size is not None)
    each = TURN_BYTES * 8 // max(min(a.bits for a in op.accesses if along in a.dims()), 8)
    found = WARP
    while found < MOST_THREADS and length > found * each and (rows is None or rows * found < BUSY_THREADS):
        found *= 2
    return found


def why(op: OpFacts, count: int) -> str:
    """Say how so many threads share a row."""
    length = op.ranges[op.reductions()[0]]
    known = length if length is not None else "unknown length"
    return f"running totals along rows of {known}: {count} threads each, which add up what others have"
