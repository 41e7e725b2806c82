"""Which operations of a kernel a group of threads does row by row, in one launch, and how many threads a row gets.

Two loops run along each other if they index the same dimension of an array. Loops that some operation reduces are
columns, all others rows. A run of operations that have all rows, and all columns or none, needs no memory between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from ..facts import KernelFacts, OpFacts

#: Elements of 32 bits that a thread keeps in registers, over all arrays that it reads.
REGISTER_ELEMENTS = 32
#: Threads of a block; beyond so many, each has but 64 registers.
MOST_THREADS = 1024
WARP = 32
#: Threads that keep a GPU's memory busy. With fewer rows than that many threads allow, a row gets more of them.
BUSY_THREADS = 1 << 16
#: Threads of a row of unknown length: where it is read once, and where values per element are written as well.
UNKNOWN_ONCE, UNKNOWN_AGAIN = 32, 128

_LOOP = re.compile(r"d(\d+)")
_Node = tuple[str, int, int]


@dataclass(frozen=True)
class Run:
    """Operations that share rows: how many rows there are, how long they are, and how often a row is walked along."""

    ops: tuple[int, ...]
    rows: int | None
    length: int | None
    walks: int
    #: Words of 32 bits that an element needs in registers.
    words: int

    def threads(self) -> int:
        """Threads per row."""
        if self.length is None:
            few = self.rows is not None and self.rows <= BUSY_THREADS // 256
            return 256 if few else UNKNOWN_ONCE if self.walks == 1 else UNKNOWN_AGAIN
        threads = WARP
        while threads < MOST_THREADS and (
            (self.walks > 1 and -(-self.length // threads) > self.budget(threads))
            or (self.rows is not None and self.rows * threads < BUSY_THREADS and self.length > 16 * threads)
        ):
            threads *= 2
        return threads

    def budget(self, threads: int) -> int:
        """Elements that a thread can keep."""
        return REGISTER_ELEMENTS // self.words // (2 if threads == MOST_THREADS and self.words > 1 else 1)

    def kept(self) -> int:
        """Elements that each thread keeps in registers, or 0 where the row is read again."""
        threads = self.threads()
        each = -(-self.length // threads) if self.length else 0
        return self.budget(threads) if each and each <= self.budget(threads) else 0

    def why(self) -> str:
        """Say so."""
        length = self.length if self.length is not None else "unknown length"
        what = f"{len(self.ops)} operations share" if len(self.ops) > 1 else "a reduction along"
        if self.kept():
            how = "each element is read once and stays in registers"
        else:
            how = "read once" if self.walks == 1 else f"each is walked along {self.walks} times"
        return f"{what} rows of {length}: {self.threads()} threads each; {how}"


class _Classes:
    """Loops and dimensions that run along each other."""

    def __init__(self) -> None:
        self.parent: dict[_Node, _Node] = {}

    def find(self, node: _Node) -> _Node:
        while self.parent.setdefault(node, node) != node:
            node = self.parent[node]
        return node

    def join(self, a: _Node, b: _Node) -> None:
        self.parent[self.find(a)] = self.find(b)


def _classes(ops: Iterable[OpFacts]) -> _Classes:
    found = _Classes()
    for op in ops:
        for access in op.accesses:
            # What an operation writes is a value of its own; its readers name the operation.
            name, number = ("op", op.index) if access.is_output else ("array", access.array)
            if not access.is_output and access.producer is not None:
                name, number = "op", access.producer
            for dim, result in enumerate(access.results):
                if match := _LOOP.fullmatch(result):
                    found.join((f"loop{op.index}", int(match.group(1)), 0), (name, number, dim))
    return found


def _run(ops: list[OpFacts]) -> Run | None:
    """What these operations are together, if they share their rows."""
    classes = _classes(ops)

    def loops(op: OpFacts, wanted: Iterable[int]) -> list[_Node]:
        return [classes.find((f"loop{op.index}", loop, 0)) for loop in wanted]

    columns = {each for op in ops for each in loops(op, op.reductions())}
    sizes: dict[_Node, int | None] = {}
    for op in ops:
        for loop, each in enumerate(loops(op, range(len(op.loops)))):
            sizes[each] = op.ranges[loop] if op.ranges[loop] is not None else sizes.get(each)
    rows = set(sizes) - columns
    reads: dict[int, int] = {}
    walks = 0
    for op in ops:
        own = loops(op, range(len(op.loops)))
        along = [each for each in own if each in columns]
        if (
            len(set(own)) != len(own)
            or len(own) - len(along) != len(rows)
            or len(along) not in (0, len(columns))
        ):
            return None
        if op.reductions() and len(op.reductions()) != len(along):
            return None
        walks += bool(op.reductions())
        for access in op.inputs:
            # A value per element, from memory.
            if (
                access.producer not in {o.index for o in ops}
                and access.dims() == set(range(len(own)))
                and along
            ):
                reads[access.array] = max(1, access.bits // 32)
    wide = any(not op.reductions() and len(op.loops) > len(rows) for op in ops)
    words = max(1, sum(reads.values()))
    numbers = tuple(op.index for op in ops)
    return Run(numbers, _count(rows, sizes), _count(columns, sizes), walks + wide, words)


def _count(classes: set[_Node], sizes: dict[_Node, int | None]) -> int | None:
    found = [sizes[each] for each in classes]
    return None if None in found else prod(size for size in found if size is not None)


def runs(kernel: KernelFacts, may: Iterable[int]) -> list[Run]:
    """Find the longest runs of operations that share rows and reduce along some.

    Args:
        kernel: facts of its operations.
        may: numbers of the operations that may be among them, in order; fills between them do not count.

    Returns:
        Runs without common operations.
    """
    allowed = set(may)
    found: list[Run] = []
    members: list[OpFacts] = []
    for op in [*kernel.ops, None]:
        if op is not None and op.kind == "linalg.fill":
            continue
        if op is not None and op.index in allowed and _run([*members, op]):
            members.append(op)
            continue
        if members and (whole := _run(members)) and any(each.reductions() for each in members):
            found.append(whole)
        members = [op] if op is not None and op.index in allowed and _run([op]) else []
    return found
