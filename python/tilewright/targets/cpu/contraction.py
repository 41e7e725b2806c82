"""Contractions: tasks of columns and rows, register tiles, and what is copied to adjacent rows before it is used."""

from __future__ import annotations

from math import prod

from ..facts import KernelFacts, OpFacts
from .config import SERIAL_WORK, Config, Machine
from .lanes import lanes, vectorised
from .register_tiles import candidates as row_tiles

#: Register tiles that ``explain()`` shows.
CANDIDATES = 4
#: Multiply-adds that one task of a contraction computes at least.
TASK_FMAS = 1 << 15
#: Columns of such a task at most.
MOST_COLUMNS = 4096
#: Register tiles that have to read an operand again before a copy of it, in order, pays.
PACK_TILES = 3
#: Tiles of columns beside each other that stay in the first-level cache's reach without a copy.
PACK_COLUMNS = 4
#: Register tiles that a task of a contraction has at most where its columns are packed already.
ROW_TILES = 16
#: Register tiles that a task has at least where it packs its columns: what that costs has to be small beside them.
TASK_TILES = 8
#: Tasks that give several threads equal shares.
TASKS = 32
#: Second-level caches that the rows of one task may fill: they are read again for each column tile, from the cache that
#: all threads share.
ROW_CACHES = 8


def _task_rows(
    known: int | None, rows: int, column_tasks: int | None, reused: int | None, machine: Machine
) -> int | None:
    """Choose how many rows of a contraction one task takes, in whole register tiles of equal shares.

    Args:
        known: Rows of the result, where that is known.
        rows: Rows of a register tile.
        column_tasks: Tasks that its columns make.
        reused: Bytes of a row that are read again for each column tile, where tasks pack columns: more rows make them
            pack less often, as long as the shared cache holds the rows. None where columns are packed already: few rows
            stay in a task's own cache.
        machine: Facts of the target.

    Returns:
        The rows, or None for all.
    """
    if known is None:
        return ROW_TILES * rows
    tiles = -(-known // rows)
    if reused is None:
        groups = -(-tiles // ROW_TILES)
    else:
        groups = -(-known * reused // (ROW_CACHES * machine.l2_bytes))
        if column_tasks is not None:
            groups = max(groups, min(-(-TASKS // column_tasks), tiles // TASK_TILES))
    return -(-tiles // groups) * rows if groups > 1 else None


def _larger_half(size: int, task: int) -> int:
    """Return the columns of the thread that gets more of them, of two that share tasks of `task` columns."""
    first = -(-size // task) // 2 * task
    return max(first, size - first)


def _task_columns(size: int | None, columns: int, products: int, rows: int | None) -> int:
    """Choose how many columns of a contraction one task takes: whole panels of `columns`, and enough work.

    Of a few tasks in odd number one thread of two gets one more: where smaller tasks share better, they are smaller.
    What serves two threads serves more; results must not depend on their number.
    """
    taken = columns
    if rows is None:
        return taken
    while taken * products * rows < TASK_FMAS and taken < MOST_COLUMNS:
        taken *= 2
    if size is None or taken == columns or not 1 < -(-size // taken) < TASKS:
        return taken
    return taken // 2 if _larger_half(size, taken // 2) < _larger_half(size, taken) else taken


def _to_pack(op: OpFacts, columns: int) -> tuple[int, ...]:
    """Choose the operands that tasks copy to adjacent rows before they use them.

    Those that every row of results reads again, vectors side by side, from rows that lie further apart than a few tiles
    of ``columns``.
    """
    column = op.column_loop()
    outer = [d for d in op.parallel() if d != column]
    found = []
    for i, a in enumerate(op.inputs):
        plain = len(a.results) >= 2 and all(r.removeprefix("d").isdigit() for r in a.results)
        if not plain or a.results[-1:] != (f"d{column}",) or (outer and outer[-1] in a.dims()):
            continue
        if a.shape[-1] is None or a.shape[-1] > PACK_COLUMNS * columns:
            found.append(i)
    return tuple(found)


def _dot_note(mains: list[OpFacts]) -> str:
    grouped = any("tw.group_dot" in op.attributes for op in mains)
    return ", groups of products summed up by one instruction" if grouped else ""


def _pack_note(operands: tuple[int, ...]) -> str:
    return f", operand {', '.join(map(str, operands))} packed by each task" if operands else ""


def contraction(kernel: KernelFacts, mains: list[OpFacts], machine: Machine) -> list[Config]:
    root = kernel.root
    vector = lanes(machine)
    column = root.column_loop()
    outer = [d for d in root.parallel() if d != column]
    row = outer[-1] if outer else -1
    panels = [p for op in mains for a in op.inputs if (p := a.panel(op.column_loop())) is not None]
    panel = panels[0] if panels else None
    columns = panel or 2 * vector
    size = root.ranges[column]
    if size is not None and size < columns and panel is None:
        columns = max(vector, -(-size // vector) * vector) if size > vector else columns
    # Accumulators of all contractions, the vectors of a panel and a broadcast operand must fit the register file.
    per_row = max(1, columns // vector)
    budget = (machine.registers - per_row - 2) // (per_row * len(mains))
    known_rows = root.ranges[row] if row >= 0 else 1
    tiles = row_tiles(known_rows, per_row, min(budget, 6) if per_row > 2 else budget)
    rows = tiles[0].rows
    depths = [prod(op.ranges[d] or 256 for d in op.reductions()) for op in mains]
    depth = sum(depths)
    products = sum(op.products * trips for op, trips in zip(mains, depths, strict=True))

    tile = [0] * len(root.loops)
    group = [0] * len(root.loops)
    for d in outer[:-1]:
        tile[d] = group[d] = 1 if d in kernel.parallel else 0
        tile[d] = 1
    if row >= 0:
        tile[row] = max(rows, 1)
    tile[column] = columns
    column_tasks = _task_columns(root.ranges[column], columns, products, known_rows)
    if column in kernel.parallel:
        group[column] = column_tasks
    packed = {op.index: _to_pack(op, columns) for op in mains}
    task_rows: int | None = None
    if row >= 0 and row in kernel.parallel:
        size = root.ranges[column]
        column_count = None if size is None else -(-size // column_tasks)
        for beside in (root.ranges[d] for d in outer[:-1] if d in kernel.parallel):
            column_count = None if column_count is None or beside is None else column_count * beside
        reused = 4 * depth if any(packed.values()) else None
        task_rows = _task_rows(known_rows, rows, column_count, reused, machine)
        group[row] = task_rows or 0
    in_task = task_rows or known_rows
    if in_task is not None and in_task <= (PACK_TILES - 1) * rows:
        packed = {}
    for d in outer[:-1]:
        group[d] = 1 if d in kernel.parallel else 0
    work = kernel.work()
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
                packed.get(op.index, ()),
                f"register tile {rows}x{columns}: {rows * per_row} accumulators of {machine.registers} registers"
                + _pack_note(packed.get(op.index, ()))
                + _dot_note(mains),
                tuple(map(str, tiles[:CANDIDATES])),
            )
        elif op in mains:
            config = Config(
                (),
                (),
                op.column_loop(),
                vector,
                per_row,
                "vector",
                packed.get(op.index, ()),
                "computed per register tile of the root" + _pack_note(packed.get(op.index, ())),
            )
        elif "tw.panel" in op.attributes:
            # A panel is written group by group: long loops stay loops, short ones (the nibbles of a byte) are unrolled.
            inner = tuple(
                1 if 0 < i < len(op.loops) - 1 and (r is None or r > 4) else 0
                for i, r in enumerate(op.ranges)
            )
            config = vectorised(op, machine, 2, tile=inner)
        else:
            config = vectorised(op, machine, per_row, tile=())
        configs.append(config)
    return configs
