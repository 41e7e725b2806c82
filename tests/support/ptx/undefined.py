"""Which reads of registers cannot be shown to follow a write.

A forward analysis over the control-flow graph: a register is *surely written* at a point if every path from the entry
writes it, without a guard.  Reads of other registers are checked while the program runs; most kernels have none, so the
check costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptx import syntax as ast
from ptx.errors import MissingFence
from ptx.syntax import operands as operands_of

if TYPE_CHECKING:
    from ptx.program import Program

# Instructions that write no register: their first operand is read like the others.
NO_RESULT = {
    "st", "red", "bra", "brx", "ret", "exit", "trap", "bar", "barrier", "membar", "fence", "call", "prefetch",
    "prefetchu", "cp", "mbarrier", "wgmma", "setmaxnreg", "nanosleep", "griddepcontrol", "discard", "stmatrix",
    "brkpt", "pmevent", "applypriority", "multimem", "cachepolicy", "tcgen05", "tensormap",
}  # fmt: skip


def results(ins: ast.Instruction) -> list[ast.Operand]:
    """Return the operands that an instruction writes."""
    if ins.name == "mbarrier":
        has = (
            ins.parts[1] in ("arrive", "arrive_drop", "test_wait", "try_wait", "pending_count")
            and ins.operands
        )
        return [ins.operands[0]] if has and not isinstance(ins.operands[0], ast.Address) else []
    if ins.name in ("bar", "barrier"):
        return [ins.operands[0]] if "red" in ins.parts else []
    if ins.name == "wgmma":
        return [ins.operands[0]] if ins.parts[1] == "mma_async" else []
    if ins.name in NO_RESULT or not ins.operands:
        return []
    return [ins.operands[0]]


def written(ins: ast.Instruction) -> set[int]:
    """Return the numbers of the registers that an instruction writes."""
    return {o.index for o in operands_of(results(ins)) if isinstance(o, ast.Register)}


def read(ins: ast.Instruction) -> set[int]:
    """Return the numbers of the registers that an instruction reads (accumulators of wgmma count as read)."""
    sources = [o for o in ins.operands if all(o is not r for r in results(ins))]
    if ins.name == "wgmma":
        sources = list(ins.operands)
    found = {o.index for o in operands_of(sources) if isinstance(o, ast.Register)}
    if ins.guard is not None:
        found.add(ins.guard.index)
    return found


def successors(program: Program, pc: int) -> list[int]:
    """Return where control may go after an instruction; calls go to the callee and to what follows."""
    ins = program.instructions[pc]
    following = [pc + 1] if pc + 1 < len(program.instructions) else []
    if ins.name == "bra":
        target = program.targets[id(ins.operands[0])]
        return [target] if ins.guard is None else [target, *following]
    if ins.name == "brx":
        table = program.function_at[pc].tables[ins.operands[1].text]  # type: ignore[union-attr]
        return [program.targets[id(name)] for name in table]
    if ins.name in ("ret", "exit", "trap"):
        return following if ins.guard is not None else []
    return following


def unproven_reads(program: Program) -> set[tuple[int, int]]:
    """Return (program counter, register) of the reads that need a check at run time."""
    count = len(program.instructions)
    writes = [written(ins) for ins in program.instructions]
    masks = [
        sum(1 << r for r in w) if ins.guard is None else 0 for w, ins in zip(writes, program.instructions)
    ]
    unknown = -1  # all bits: nothing has reached this point yet
    before = [unknown] * (count + 1)
    work = list(program.entries.values())
    for entry in work:
        before[entry] = 0
    while work:
        pc = work.pop()
        after = before[pc] | masks[pc]
        for target in successors(program, pc):
            merged = before[target] & after
            if merged != before[target]:
                before[target] = merged
                work.append(target)
    found = set()
    for pc, ins in enumerate(program.instructions):
        if before[pc] == unknown:
            continue
        found |= {(pc, r) for r in read(ins) if not before[pc] >> r & 1}
    return found


def check_fences(program: Program) -> None:
    """Raise `MissingFence` if a `wgmma.mma_async` may meet registers that others wrote since the last `wgmma.fence`.

    Successive products into the same accumulators need no fence between them.
    """
    instructions = program.instructions
    if not any(ins.name == "wgmma" for ins in instructions):
        return
    masks = [0 if ins.name == "wgmma" else sum(1 << r for r in written(ins)) for ins in instructions]
    before = [-1] * (
        len(instructions) + 1
    )  # registers written since the last fence on some path; -1: not reached
    work = list(program.entries.values())
    for entry in work:
        before[entry] = 0
    while work:
        pc = work.pop()
        ins = instructions[pc]
        after = 0 if ins.name == "wgmma" and ins.parts[1] == "fence" else before[pc] | masks[pc]
        for target in successors(program, pc):
            merged = after if before[target] < 0 else before[target] | after
            if merged != before[target]:
                before[target] = merged
                work.append(target)
    for pc, ins in enumerate(instructions):
        if ins.name != "wgmma" or ins.parts[1] != "mma_async" or before[pc] <= 0:
            continue
        for operand in operands_of(ins.operands[:2]):
            if (
                isinstance(operand, ast.Register)
                and operand.type.bits == 32
                and before[pc] >> operand.index & 1
            ):
                raise MissingFence(
                    f"line {ins.line}: {operand.name} may have been written since the last wgmma.fence\n  {ins.text}"
                )
