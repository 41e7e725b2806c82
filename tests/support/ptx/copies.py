"""`cp.async`: copies of 4, 8 or 16 bytes from global to shared memory, in groups."""

from __future__ import annotations

import numpy as np

from ptx import syntax as ast
from ptx.decode import BUILDERS, Decoder, instruction
from ptx.errors import BadOperand, Misaligned
from ptx.machine import Machine, Selection
from ptx.memory import WINDOW_SHIFT
from ptx.program import Op
from ptx.types import TYPES, spread


@instruction("cp")
def copy(ins: ast.Instruction, d: Decoder) -> Op:
    """`cp.async…` in all its forms."""
    if "async" not in ins.parts[:3]:
        raise d.unsupported(ins.opcode)
    if ins.has("bulk", "reduce"):
        return BUILDERS["cp.async.bulk"](ins, d)
    if ins.has("commit_group"):
        return lambda m, s: m.asynchronous.commit(m.lanes[s])
    if ins.has("wait_group"):
        pending = ins.operands[0]
        if not isinstance(pending, ast.Immediate):
            raise d.unsupported(ins.opcode)
        count = int(pending.value)
        return lambda m, s: m.asynchronous.wait(m.lanes[s], count)
    if ins.has("wait_all"):
        return lambda m, s: m.asynchronous.wait(m.lanes[s], 0, everything=True)
    if ins.has("mbarrier"):
        return BUILDERS["cp.async.mbarrier"](ins, d)
    return copy_words(ins, d)


def copy_words(ins: ast.Instruction, d: Decoder) -> Op:
    """`cp.async.ca/.cg.shared.global [dst], [src], size{, src_size}` or `…, ignore_src`."""
    size = ins.operands[2]
    if not isinstance(size, ast.Immediate) or size.value not in ((16,) if ins.has("cg") else (4, 8, 16)):
        raise d.unsupported(ins.opcode)
    bytes_ = int(size.value)
    target, source = d.address(ins.operands[0]), d.address(ins.operands[1])
    given = None
    if len(ins.operands) > 3:
        extra = ins.operands[3]
        if isinstance(extra, ast.Register | ast.Not) and is_predicate(extra):
            ignored = d.source(extra, TYPES["pred"])
            given = lambda m, s: np.where(ignored(m, s), np.uint32(0), np.uint32(bytes_))  # noqa: E731
        else:
            given = d.source(extra, TYPES["u32"])

    def run(m: Machine, s: Selection) -> None:
        lanes = m.lanes[s]
        filled = (
            np.full(lanes.size, bytes_) if given is None else spread(given(m, s), lanes.size).astype(np.int64)
        )
        if (filled > bytes_).any():
            m.fail(
                BadOperand,
                ins,
                s,
                int(np.argmax(filled)),
                f"source size {filled.max()} of a copy of {bytes_} bytes",
            )
        to = target(m, s) & np.uint64((1 << WINDOW_SHIFT) - 1)
        _, at = m.place(ins, s, "shared", to, bytes_, True)
        start = source(m, s)
        origin = np.zeros(lanes.size, np.int64)
        for length in np.unique(filled):
            if length:
                chosen = np.flatnonzero(filled == length)
                aligned(m, ins, lanes[chosen], start[chosen], bytes_)
                _, origin[chosen] = m.place(ins, lanes[chosen], "global", start[chosen], 1, False)
                m.place(ins, lanes[chosen], "global", start[chosen] + np.uint64(length - 1), 1, False)
        m.asynchronous.issue(ins, lanes, at, origin, bytes_, filled)

    return run


def is_predicate(operand: ast.Register | ast.Not) -> bool:
    """Whether an operand is a predicate."""
    register = operand.register if isinstance(operand, ast.Not) else operand
    return register.type.kind == "p"


def aligned(m: Machine, ins: ast.Instruction, lanes: np.ndarray, address: np.ndarray, size: int) -> None:
    """Check that addresses are multiples of the size of the copy."""
    low = address & np.uint64(size - 1)
    if low.any():
        position = int(np.argmax(low != 0))
        m.fail(
            Misaligned,
            ins,
            lanes,
            position,
            f"source {int(address[position]):#x} is not a multiple of {size}",
        )
