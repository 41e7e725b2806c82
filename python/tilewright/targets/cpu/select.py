"""Tile sizes, lanes and lowering for kernels on CPU: a pure function from facts to configs.

Three shapes of kernel exist, told apart by their loops and never by their names:

- *contraction*: all output loops are shared by all members. Threads take blocks of columns (and rows); inside,
  register tiles of ``rows x columns`` keep their accumulators in registers and the epilogue is computed on them.
- *rows*: members reduce along the innermost loop (norms, softmax, attention). Threads take blocks of rows; a row stays
  in the first-level cache from its first reduction to its last use.
- *map*: elementwise. Threads take chunks that fit the first-level cache.

Tile sizes depend on shapes and on the machine, never on the number of threads, so results do not either.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from ..facts import KernelFacts
from .config import SERIAL_WORK, Config, Machine
from .contraction import contraction
from .lanes import lanes, pick_lane, transposed_loops, vectorised

#: Elements that one task of an elementwise kernel computes: enough to hide the hand-over, few enough to balance.
TASK_ELEMENTS = 16384
#: Rows of the operand, which are columns of the result, that a task of a transposition takes.
SQUARE_COLUMNS = 64
#: Rows that are taken through all members of a kernel together: while one waits for its sum, the next adds up. At most
#: so many elements; fewer where arrays are larger than some second-level caches, since all rows are waited for at once.
SHARED_ELEMENTS = 2048
NEAR_CACHES, SHARED_FAR_ELEMENTS = 4, 256
#: Rows of float32 that the first-level cache holds where walks along different rows become one loop: two of an operand,
#: two of what is kept for the next walk, and one of a result.
OVERLAPPED_ROWS = 5
#: Vectors of neighbouring results that a reduction across rows keeps in registers.
COLUMN_VECTORS = 16


def _panel_of(kernel: KernelFacts) -> int | None:
    """The width of the panels that a kernel reads, if it reads any."""
    widths = [
        p for op in kernel.ops for a in op.inputs for d in op.parallel() if (p := a.panel(d)) is not None
    ]
    return max(widths, default=None)


def _shared_row(kernel: KernelFacts) -> int:
    """The spread loop along which most trips read the same factors of a sum (in attention: keys, values), or -1."""
    best, most = -1, 2
    for op, loops in zip(kernel.ops, kernel.root_loops(), strict=True):
        if not op.contracts():
            continue
        summed = [a for a in op.inputs if a.dims() & set(op.reductions())]
        for d in kernel.parallel:
            size = kernel.root.ranges[d]
            trips = 1 << 62 if size is None else size
            if d in loops and trips >= most and any(loops[d] not in a.dims() for a in summed):
                best, most = d, trips
    return best


def _together(kernel: KernelFacts, row: int, length: int, machine: Machine) -> int:
    """How many rows of `length` elements go through the members of a kernel together: a divisor of all rows."""
    rows, moved = kernel.root.ranges[row], kernel.bytes()
    near = moved is not None and moved <= NEAR_CACHES * machine.l2_bytes
    most = SHARED_ELEMENTS if near else SHARED_FAR_ELEMENTS
    together = 1
    # Four vectors of sums for each row, in half of the registers.
    while (
        rows
        and together < machine.registers // 8
        and 2 * together * length <= most
        and rows % (2 * together) == 0
    ):
        together *= 2
    return together


def _overlaps(kernel: KernelFacts, length: int, machine: Machine) -> bool:
    """Whether walks along different rows of `length` elements become one loop.

    Rows without functions wait for memory rather than for sums, as do arrays that the last cache does not hold.
    Each walk then does best alone: it asks for what comes next as far ahead as the processor can look.
    """
    held = kernel.footprint()
    # Nobody has the whole of a cache: an eighth is left to others.
    near = held is None or not machine.l3_bytes or held <= machine.l3_bytes // 8 * 7
    fits = 4 * OVERLAPPED_ROWS * length <= machine.l1_bytes
    return near and fits and any(op.functions for op in kernel.ops)


def _rows(kernel: KernelFacts, machine: Machine) -> list[Config]:
    root = kernel.root
    has_contraction = any(op.contracts() for op in kernel.ops)
    group = [0] * len(root.loops)
    spread = list(kernel.parallel)
    row = shared if (shared := _shared_row(kernel)) >= 0 else spread[-1] if spread else -1
    inner = [root.ranges[d] for d in range(len(root.loops)) if d not in kernel.parallel]
    length = prod(r if r is not None else 1024 for r in inner) or 1
    column, panel = root.column_loop(), _panel_of(kernel) or 1
    for d in spread:
        group[d] = 1 if d != column else min(panel, root.ranges[d] or panel)  # a task takes whole panels
    rows = 8 if has_contraction else max(1, min(64, TASK_ELEMENTS // max(length, 1)))
    # Results that lie side by side are summed up side by side: long stretches of memory are what a task asks for.
    side_by_side = not has_contraction and row >= 0 and row == pick_lane(root, machine)[0]
    if side_by_side:
        rows = max(COLUMN_VECTORS * lanes(machine), TASK_ELEMENTS // max(length, 1))
    alone = all(op is root or op.kind == "linalg.fill" for op in kernel.ops)
    together = 1
    walks = row >= 0 and not (alone or has_contraction or side_by_side) and all(r is not None for r in inner)
    if walks:
        together = _together(kernel, row, length, machine)
        rows = max(rows // together, 1) * together
    if row >= 0:
        known = root.ranges[row]
        if row == column:
            rows = -(-rows // panel) * panel
        group[row] = min(rows, known) if known is not None else rows
    work = kernel.work()
    if (work is not None and work < SERIAL_WORK) or not any(group):
        group = []
    tile: tuple[int, ...] = ()
    if not has_contraction and row >= 0:
        tile = tuple(
            together if d == row else 1 if d in kernel.parallel else 0 for d in range(len(root.loops))
        )
    if side_by_side and tile:
        # What several members share has to stay in the cache; one member alone keeps its sums in registers.
        tile = (*tile[:row], 0 if alone else 4 * lanes(machine), *tile[row + 1 :])
    overlap = walks and together == 1 and _overlaps(kernel, length, machine)
    configs = []
    for op in kernel.ops:
        # Walks along different rows become one loop, so they take steps of the same length; sums keep their order.
        unroll = 4 if overlap or (op.reductions() and not op.contracts()) else 2
        if side_by_side and alone:
            unroll = COLUMN_VECTORS
        if op is root:
            configs.append(vectorised(op, machine, unroll, workgroup=tuple(group), tile=tile))
        else:
            configs.append(vectorised(op, machine, unroll, tile=()))
    if overlap:
        why = f"{configs[-1].why}; a row's reductions beside the functions of the row before it"
        configs[-1] = replace(configs[-1], overlap=True, why=why)
    return configs


def _past_the_cache(kernel: KernelFacts, config: Config, machine: Machine) -> Config:
    """Let results go past the last cache where it cannot hold the arrays, and no other member writes as much."""
    moved = kernel.bytes()
    others_reduce = all(op.reductions() or op.kind == "linalg.fill" for op in kernel.ops[:-1])
    if (
        not machine.l3_bytes
        or moved is None
        or moved <= machine.l3_bytes
        or config.lowering != "vector"
        or kernel.root.reductions()
        or not others_reduce
    ):
        return config
    sizes = f"{moved >> 20} MB do not fit {machine.l3_bytes >> 20}"
    return replace(config, stream=True, why=f"{config.why}; results go past the cache, since {sizes}")


def _map(kernel: KernelFacts, machine: Machine) -> list[Config]:
    root = kernel.root
    group = [0] * len(root.loops)
    budget = TASK_ELEMENTS
    lane = pick_lane(root, machine)[0]
    straight = lane < 0 or all(a.contiguous_along(lane) for a in root.accesses)
    squares = (-1, -1) if straight else transposed_loops(root, machine)
    for d in reversed(kernel.parallel):
        size = root.ranges[d]
        if d in squares:
            # Few enough rows that the lines they share with the next square stay in the cache even where all rows
            # start at multiples of a power of two.
            most = SQUARE_COLUMNS if d == squares[0] else TASK_ELEMENTS // SQUARE_COLUMNS
            group[d] = min(most, size) if size is not None else most
            budget = 1
        elif size is None:
            group[d] = max(1, budget)
            budget = 1 if d != kernel.parallel[-1] else max(1, budget // 1024)
        elif size <= budget:
            group[d] = size
            budget //= max(size, 1)
        else:
            group[d] = max(budget, 1)
            budget = 1
    work = kernel.work()
    if (work is not None and work < SERIAL_WORK) or not any(group):
        group = []
    return [
        vectorised(
            op, machine, 4 if op.operations < 8 else 2, workgroup=tuple(group) if op is root else (), tile=()
        )
        for op in kernel.ops
    ]


def select(kernel: KernelFacts, machine: Machine) -> list[Config]:
    """Choose a config for every operation of a kernel.

    Args:
        kernel: The kernel's facts; the root is its last operation.
        machine: Facts of the target.

    Returns:
        One config per operation, in order; only the root's has workgroup tiles.
    """
    root = kernel.root
    if any(size == 0 for op in kernel.ops for size in op.ranges):
        return [Config(why="a loop of no trips") for _ in kernel.ops]
    contractions = [op for op in kernel.ops if op.contracts()]
    if contractions and "tw.lowering" not in root.attributes:
        column = root.column_loop()
        reads_columns = column >= 0 and all(
            a.contiguous_along(op.column_loop()) for op in contractions for a in op.accesses
        )
        others_keep = all(not op.reductions() for op in kernel.ops if op not in contractions)
        if reads_columns and others_keep and column in kernel.parallel:
            return contraction(kernel, contractions, machine)
    configs = (_rows if any(op.reductions() for op in kernel.ops) else _map)(kernel, machine)
    return [*configs[:-1], _past_the_cache(kernel, configs[-1], machine)]
