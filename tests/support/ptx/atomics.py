"""`atom` and `red`: lanes that meet at one address take turns, in a random order in the adversarial mode."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ptx import floats
from ptx import syntax as ast
from ptx.decode import Decoder, instruction
from ptx.machine import Machine, Selection
from ptx.program import Op
from ptx.types import TYPES, Array, Scalar, spread

_INTEGER: dict[str, Callable[[Array, Array], Array]] = {
    "add": lambda a, b: a + b,
    "min": np.minimum,
    "max": np.maximum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "exch": lambda a, b: b + np.zeros_like(a),
    "inc": lambda a, b: np.where(a >= b, a.dtype.type(0), a + a.dtype.type(1)),
    "dec": lambda a, b: np.where((a == 0) | (a > b), b, a - a.dtype.type(1)),
}


def combination(ins: ast.Instruction, d: Decoder, scalar: Scalar) -> Callable[..., Array]:
    """Return how the old bits and the operands' bits combine."""
    name = next((p for p in ins.parts if p in (*_INTEGER, "cas")), None)
    if name == "cas":
        return lambda old, expected, new: np.where(old == expected, new, old)
    if name is None:
        raise d.unsupported(ins.opcode)
    if scalar.kind != "f":
        function = _INTEGER[name]
        return lambda old, b: (
            function(old.view(scalar.dtype), b.view(scalar.dtype)).astype(scalar.dtype).view(scalar.storage)
        )
    if name == "exch":
        return _INTEGER["exch"]
    if scalar.name in ("f32", "f64"):
        if name != "add":
            raise d.unsupported(ins.opcode)
        return lambda old, b: (old.view(scalar.dtype) + b.view(scalar.dtype)).view(scalar.storage)
    base = scalar.name.removesuffix("x2")
    exact = {
        "add": floats.sum_odd,
        "min": floats.extremum(False, False),
        "max": floats.extremum(True, False),
    }[name]
    function = floats.small(exact, base, "rn", ins)
    return floats.paired(function) if scalar.name.endswith("x2") else function


@instruction("atom", "red")
def atomic(ins: ast.Instruction, d: Decoder) -> Op:
    """`atom.space.op.type d, [a], b{, c};` and `red`, which returns nothing."""
    scalar = d.types()[-1]
    returns = ins.name == "atom"
    if ins.has("async", "v2", "v4", "v8"):
        raise d.unsupported(ins.opcode)
    at = 1 if returns else 0
    space, address = d.space(ins.operands[at]), d.address(ins.operands[at])
    raw = TYPES[f"b{scalar.bits}"]
    literals = scalar if scalar.name in ("f32", "f64") else raw
    reads = [d.source(o, literals) for o in ins.operands[at + 1 :]]
    combine = combination(ins, d, scalar)
    write = d.destination(ins.operands[0], raw) if returns else None
    storage = scalar.storage

    def run(m: Machine, s: Selection) -> None:
        where = address(m, s)
        values = [spread(read(m, s), where.size).view(storage) for read in reads]
        old = np.empty(where.shape, storage)
        for name, positions, part in m.split(where, space):
            chosen = np.arange(where.size) if positions is None else positions
            lanes = m.lanes[s][chosen]
            segment, index = m.place(ins, lanes, name, part, scalar.bytes, True)
            if name == "shared":
                # Atomics do not race with each other; see what they touch, but do not report them as writes.
                races, m.races = m.races, None
                m.touch_shared(ins, lanes, index, scalar.bytes, False)
                m.races = races
            view, cell = segment.views[scalar.bytes], index // scalar.bytes
            for turn in turns(cell, m.rng if m.settings.seed is not None else None):
                before = view[cell[turn]]
                old[chosen[turn]] = before
                view[cell[turn]] = combine(before, *(v[chosen[turn]] for v in values))
        if write is not None:
            write(m, s, old)

    return run


def turns(cells: Array, rng: np.random.Generator | None) -> list[Array]:
    """Split lanes into rounds in which no two touch the same cell."""
    order = np.arange(cells.size) if rng is None else rng.permutation(cells.size)
    order = order[np.argsort(cells[order], kind="stable")]
    ordered = cells[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if cells.size else np.zeros(0, bool)
    start = np.maximum.accumulate(np.where(first, np.arange(cells.size), 0))
    rank = np.arange(cells.size) - start
    return [order[rank == i] for i in range(int(rank.max()) + 1)] if cells.size else []
