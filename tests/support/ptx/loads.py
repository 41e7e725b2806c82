"""Loads and stores, with vectors; cache operators and hints mean nothing here."""

from __future__ import annotations

import numpy as np

from ptx import syntax as ast
from ptx.decode import Decoder, instruction
from ptx.machine import Machine, Selection
from ptx.program import Op

_VECTORS = {"v2": 2, "v4": 4, "v8": 8}


def vector_length(ins: ast.Instruction) -> int:
    """Return how many words an access takes."""
    return next((_VECTORS[part] for part in ins.parts if part in _VECTORS), 1)


def elements(operand: ast.Operand, count: int, d: Decoder) -> tuple[ast.Operand, ...]:
    """Return the words of a vector operand."""
    if isinstance(operand, ast.Vector):
        items = operand.items
    else:
        items = (operand,)
    if len(items) != count:
        raise d.unsupported(f"{len(items)} elements where the opcode says {count}")
    return items


@instruction("ld", "ldu")
def load(ins: ast.Instruction, d: Decoder) -> Op:
    """`ld{.space}{.vec}.type d, [a];`"""
    scalar, count = d.types()[-1], vector_length(ins)
    space, address = d.space(ins.operands[1]), d.address(ins.operands[1])
    writes = [d.destination(o, scalar, any_width=True) for o in elements(ins.operands[0], count, d)]
    width = scalar.bytes

    def run(m: Machine, s: Selection) -> None:
        for write, value in zip(writes, m.load(ins, s, space, address(m, s), width, count)):
            write(m, s, value)

    return run


@instruction("st")
def store(ins: ast.Instruction, d: Decoder) -> Op:
    """`st{.space}{.vec}.type [a], b;`"""
    scalar, count = d.types()[-1], vector_length(ins)
    space, address = d.space(ins.operands[0]), d.address(ins.operands[0])
    if ins.has("async"):
        raise d.unsupported(ins.opcode)
    reads = [d.source(o, scalar, any_width=True) for o in elements(ins.operands[1], count, d)]
    width, storage = scalar.bytes, scalar.storage

    def run(m: Machine, s: Selection) -> None:
        values = [np.asarray(read(m, s)).view(storage) for read in reads]
        m.store(ins, s, space, address(m, s), width, values)

    return run


@instruction("fence", "membar")
def fence(ins: ast.Instruction, d: Decoder) -> Op:
    """Memory is sequentially consistent here: of all fences only `fence.proxy.async` has an effect."""
    if ins.has("proxy") and any(part.startswith("async") for part in ins.parts):
        return lambda m, s: m.fence_proxy(s)
    return lambda m, s: None


@instruction("griddepcontrol")
def dependence(ins: ast.Instruction, d: Decoder) -> Op:
    """`griddepcontrol.wait`: launches follow each other here, but from now on a thread may touch global memory."""
    if ins.has("wait"):
        return lambda m, s: m.waited(s)
    return lambda m, s: None


@instruction("prefetch", "prefetchu", "discard", "applypriority", "nanosleep", "pmevent")
def no_effect(ins: ast.Instruction, d: Decoder) -> Op:
    """Hints."""
    return lambda m, s: None
