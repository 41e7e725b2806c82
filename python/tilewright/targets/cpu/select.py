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

from dataclasses import dataclass
from math import prod
from typing import Any

from ..facts import KernelFacts, OpFacts

#: Elements that one task of an elementwise kernel computes: enough to hide the hand-over, few enough to balance.
TASK_ELEMENTS = 16384
#: Multiply-adds that one task of a contraction computes at least.
TASK_FMAS = 1 << 15
#: Rows of the operand, which are columns of the result, that a task of a transposition takes.
SQUARE_COLUMNS = 64
#: Vectors of neighbouring results that a reduction across rows keeps in registers.
COLUMN_VECTORS = 16
#: Kernels with less work than this run on the calling thread.
SERIAL_WORK = 1 << 15


@dataclass(frozen=True)
class Machine:
    """The facts of ``#tw.target`` that tile sizes follow from."""

    vector_bits: int = 512
    registers: int = 32
    l1_bytes: int = 32768
    l2_bytes: int = 1 << 20
    #: Products that one instruction sums up in each 32-bit lane: of bfloat16, and of bytes.
    group_bf16: int = 1
    group_i8: int = 1


@dataclass(frozen=True)
class Config:
    """One ``#tw.config``; see the attribute's documentation for the fields. ``why`` goes to ``explain()``."""

    workgroup: tuple[int, ...] = ()
    tile: tuple[int, ...] = ()
    lane: int = -1
    vector: int = 1
    unroll: int = 1
    lowering: str = "loops"
    why: str = ""

    def text(self) -> str:
        """The attribute as MLIR text."""

        def sizes(values: tuple[int, ...]) -> str:
            return "[" + ", ".join(map(str, values)) + "]"

        return (
            f"#tw.config<workgroup = {sizes(self.workgroup)}, tile = {sizes(self.tile)}, lane = {self.lane}, "
            f'vector = {self.vector}, unroll = {self.unroll}, lowering = "{self.lowering}">'
        )


def lanes(machine: Machine) -> int:
    """32-bit elements in one vector register."""
    return machine.vector_bits // 32


def pick_lane(op: OpFacts, machine: Machine) -> tuple[int, str]:
    """Choose the loop that runs over vector lanes: the one with the fewest strided operands.

    Returns:
        The loop, or -1 where no loop reads enough operands contiguously, and the reason.
    """
    best, best_cost, reason = -1, 1e9, "no loops"
    for loop in range(len(op.loops)):
        size = op.ranges[loop]
        strided = sum(1 for a in op.accesses if not a.contiguous_along(loop))
        outputs_vary = any(loop in a.dims() for a in op.outputs)
        cost = 4.0 * strided + (0 if outputs_vary else 0.5)
        if size is not None and size < lanes(machine):
            cost += 2.0 + (2.0 if size == 1 else 0.0)
        # Between equals the later loop: it is the innermost of the row-major result.
        if cost <= best_cost:
            best, best_cost = loop, cost
            reason = (
                f"loop d{loop} reads {len(op.accesses) - strided} of {len(op.accesses)} operands contiguously"
            )
    if best_cost >= 4.0:
        lane, across = transposed_loops(op, machine)
        if across >= 0:
            return lane, f"squares of d{across} and d{lane} are turned in registers"
        return -1, "every loop strides through an operand"
    return best, reason


def transposed_loops(op: OpFacts, machine: Machine) -> tuple[int, int]:
    """Two loops whose squares can be transposed in registers.

    Returns:
        The loop along which results are contiguous, and the one along which every operand is that strides along the
        first; (-1, -1) where there are none.
    """
    none = (-1, -1)
    if op.reductions() or any(not a.results for a in op.outputs):
        return none
    wide = [d for d in op.parallel() if op.ranges[d] is None or (op.ranges[d] or 0) >= lanes(machine)]
    for lane in wide:
        if not all(a.results[-1] == f"d{lane}" and a.contiguous_along(lane) for a in op.outputs):
            continue
        strided = [a for a in op.inputs if not a.contiguous_along(lane)]
        for across in wide:
            if across != lane and all(
                a.results[-1] == f"d{across}" and a.contiguous_along(across) and f"d{lane}" in a.results
                for a in strided
            ):
                return lane, across
    return none


def _vectorised(op: OpFacts, machine: Machine, unroll: int, **sizes: Any) -> Config:
    if "tw.lowering" in op.attributes:
        return Config(
            why="sequential or strided by construction", **{k: v for k, v in sizes.items() if k != "tile"}
        )
    if any(a.bits == 1 for a in op.accesses):
        return Config(why="booleans are bytes in memory", **sizes)
    lane, why = pick_lane(op, machine)
    if lane < 0:
        return Config(why=why, **sizes)
    return Config(lane=lane, vector=lanes(machine), unroll=unroll, lowering="vector", why=why, **sizes)


def _work(kernel: KernelFacts) -> int | None:
    """Scalar operations of a kernel if all its sizes are known."""
    total = 0
    for op in kernel.ops:
        sizes = [r for r in op.ranges if r is not None]
        if len(sizes) != len(op.ranges):
            return None
        total += prod(sizes) * max(op.flops, 1)
    return total


def _column_loop(op: OpFacts) -> int:
    """The innermost output loop of a contraction that its output varies along."""
    last = op.outputs[0].results[-1]
    return int(last[1:]) if last.startswith("d") and last[1:].isdigit() else -1


def _dot_note(mains: list[OpFacts]) -> str:
    grouped = any("tw.group_dot" in op.attributes for op in mains)
    return ", groups of products summed up by one instruction" if grouped else ""


def _contraction(kernel: KernelFacts, mains: list[OpFacts], machine: Machine) -> list[Config]:
    root = kernel.root
    vector = lanes(machine)
    column = _column_loop(root)
    outer = [d for d in root.parallel() if d != column]
    row = outer[-1] if outer else -1
    panels = [p for op in mains for a in op.inputs if (p := a.panel(_column_loop(op))) is not None]
    panel = panels[0] if panels else None
    columns = panel or 2 * vector
    size = root.ranges[column]
    if size is not None and size < columns and panel is None:
        columns = max(vector, -(-size // vector) * vector) if size > vector else columns
    # Accumulators of all contractions, the vectors of a panel and a broadcast operand must fit the register file.
    per_row = max(1, columns // vector)
    budget = (machine.registers - per_row - 2) // (per_row * len(mains))
    rows = max(1, min(12 if per_row <= 2 else 6, budget))
    size = root.ranges[row] if row >= 0 else None
    if rows == 12 and size is not None and size % 12 and size % 8 == 0:
        rows = 8
    known_rows = root.ranges[row] if row >= 0 else 1
    if known_rows is not None:
        rows = min(rows, known_rows)
    depth = sum(prod(op.ranges[d] or 256 for d in op.reductions()) for op in mains)

    tile = [0] * len(root.loops)
    group = [0] * len(root.loops)
    for d in outer[:-1]:
        tile[d] = group[d] = 1 if d in kernel.parallel else 0
        tile[d] = 1
    if row >= 0:
        tile[row] = max(rows, 1)
    tile[column] = columns
    column_tasks = columns
    if known_rows is not None:
        while column_tasks * depth * known_rows < TASK_FMAS and column_tasks < 4096:
            column_tasks *= 2
    if column in kernel.parallel:
        group[column] = column_tasks
    if row >= 0 and row in kernel.parallel and (known_rows is None or known_rows > 16 * rows):
        group[row] = 16 * rows
    for d in outer[:-1]:
        group[d] = 1 if d in kernel.parallel else 0
    work = _work(kernel)
    if (work is not None and work < SERIAL_WORK) or not any(group):
        group = []
    configs = []
    for op in kernel.ops:
        if op is root:
            lane = column
            config = Config(
                tuple(group),
                tuple(tile),
                lane,
                vector,
                per_row,
                "vector",
                f"register tile {rows}x{columns}: {rows * per_row} accumulators of {machine.registers} registers"
                + _dot_note(mains),
            )
        elif op in mains:
            config = Config(
                (),
                (),
                _column_loop(op),
                vector,
                per_row,
                "vector",
                "computed per register tile of the root",
            )
        elif "tw.panel" in op.attributes:
            # A panel is written group by group: long loops stay loops, short ones (the nibbles of a byte) are unrolled.
            inner = tuple(
                1 if 0 < i < len(op.loops) - 1 and (r is None or r > 4) else 0
                for i, r in enumerate(op.ranges)
            )
            config = _vectorised(op, machine, 2, tile=inner)
        else:
            config = _vectorised(op, machine, per_row, tile=())
        configs.append(config)
    return configs


def _panel_of(kernel: KernelFacts) -> int | None:
    """The width of the panels that a kernel reads, if it reads any."""
    widths = [
        p for op in kernel.ops for a in op.inputs for d in op.parallel() if (p := a.panel(d)) is not None
    ]
    return max(widths, default=None)


def _rows(kernel: KernelFacts, machine: Machine) -> list[Config]:
    root = kernel.root
    has_contraction = any(op.contracts() for op in kernel.ops)
    group = [0] * len(root.loops)
    spread = list(kernel.parallel)
    row = spread[-1] if spread else -1
    inner = [root.ranges[d] for d in range(len(root.loops)) if d not in kernel.parallel]
    length = prod(r if r is not None else 1024 for r in inner) or 1
    for d in spread[:-1]:
        group[d] = 1
    rows = 8 if has_contraction else max(1, min(64, TASK_ELEMENTS // max(length, 1)))
    # Results that lie side by side are summed up side by side: long stretches of memory are what a task asks for.
    side_by_side = not has_contraction and row >= 0 and row == pick_lane(root, machine)[0]
    if side_by_side:
        rows = max(COLUMN_VECTORS * lanes(machine), TASK_ELEMENTS // max(length, 1))
    if row >= 0:
        known = root.ranges[row]
        if row == _column_loop(root) and (panel := _panel_of(kernel)):
            rows = -(-rows // panel) * panel  # a task takes whole panels
        group[row] = min(rows, known) if known is not None else rows
    work = _work(kernel)
    if (work is not None and work < SERIAL_WORK) or not any(group):
        group = []
    tile: tuple[int, ...] = ()
    if not has_contraction and row >= 0:
        tile = tuple(1 if d in kernel.parallel else 0 for d in range(len(root.loops)))
    alone = all(op is root or op.kind == "linalg.fill" for op in kernel.ops)
    if side_by_side and tile:
        # What several members share has to stay in the cache; one member alone keeps its sums in registers.
        tile = (*tile[:row], 0 if alone else 4 * lanes(machine), *tile[row + 1 :])
    configs = []
    for op in kernel.ops:
        unroll = 4 if op.reductions() and not op.contracts() else 2
        if side_by_side and alone:
            unroll = COLUMN_VECTORS
        if op is root:
            configs.append(_vectorised(op, machine, unroll, workgroup=tuple(group), tile=tile))
        else:
            configs.append(_vectorised(op, machine, unroll, tile=()))
    return configs


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
    work = _work(kernel)
    if (work is not None and work < SERIAL_WORK) or not any(group):
        group = []
    return [
        _vectorised(
            op, machine, 4 if op.flops < 8 else 2, workgroup=tuple(group) if op is root else (), tile=()
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
        column = _column_loop(root)
        reads_columns = column >= 0 and all(
            a.contiguous_along(_column_loop(op)) for op in contractions for a in op.accesses
        )
        others_keep = all(not op.reductions() for op in kernel.ops if op not in contractions)
        if reads_columns and others_keep and column in kernel.parallel:
            return _contraction(kernel, contractions, machine)
    if any(op.reductions() for op in kernel.ops):
        return _rows(kernel, machine)
    return _map(kernel, machine)
