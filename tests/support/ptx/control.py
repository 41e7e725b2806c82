"""Branches, calls, returns, ends.

A closure of these returns the program counter of all its lanes or, where they part, sets `machine.pc` and returns -1.
"""

from __future__ import annotations

import numpy as np

from ptx import syntax as ast
from ptx.decode import Decoder, instruction
from ptx.errors import BadOperand, Trapped
from ptx.machine import Machine, Selection
from ptx.program import Op
from ptx.types import TYPES, spread


@instruction("bra", control=True)
def branch(ins: ast.Instruction, d: Decoder) -> Op:
    """`bra{.uni} target;` (`_guarded_control` keeps the lanes whose guard fails)."""
    target = d.program.targets[id(ins.operands[0])]
    return lambda m, s: target


@instruction("brx", control=True)
def branch_table(ins: ast.Instruction, d: Decoder) -> Op:
    """`brx.idx index, table;`"""
    name = ins.operands[1]
    assert isinstance(name, ast.Name)
    table = np.array(
        [d.program.targets[id(o)] for o in d.program.function_at[d.pc].tables[name.text]], np.int64
    )
    read = d.source(ins.operands[0], TYPES["u32"])

    def run(m: Machine, s: Selection) -> int:
        index = spread(read(m, s), m.lanes[s].size)
        if (index >= table.size).any():
            m.fail(
                BadOperand,
                ins,
                s,
                int(np.argmax(index >= table.size)),
                f"index {index.max()} into {table.size} targets",
            )
        m.pc[s] = table[index]
        return -1

    return run


@instruction("call", control=True)
def call(ins: ast.Instruction, d: Decoder) -> Op:
    """`call{.uni} (results), function, (arguments);`: arguments and results lie in each thread's own memory."""
    given: list[ast.Operand] = []
    wanted: list[ast.Operand] = []
    name = None
    for operand in ins.operands:
        if isinstance(operand, ast.Name):
            name = operand.text
        elif isinstance(operand, ast.Arguments):
            if name is None:
                wanted = list(operand.items)
            else:
                given = list(operand.items)
    program = d.program
    function = next((f for f in program.functions if f.name == name), None)
    if function is None or len(given) != len(function.params) or len(wanted) != len(function.results):
        raise d.unsupported(f"call of {name} with {len(given)} arguments and {len(wanted)} results")

    def moves(
        actual: list[ast.Operand], formal: list[ast.Variable], into: bool
    ) -> list[tuple[int, int, int]]:
        found = []
        for operand, variable in zip(actual, formal):
            if not isinstance(operand, ast.Symbol):
                raise d.unsupported("arguments of calls must be .param variables")
            here, there = program.offset[operand.variable], program.offset[variable]
            found.append((there, here, variable.size) if into else (here, there, variable.size))
        return found

    arguments, results = moves(given, function.params, True), moves(wanted, function.results, False)
    entry, after, known = program.entries[function.name], d.pc + 1, function.name

    def run(m: Machine, s: Selection) -> int:
        copy(m, s, arguments)
        m.returns[known][s] = after
        return entry

    program.call_results[after] = results
    return run


def copy(m: Machine, s: Selection, moves: list[tuple[int, int, int]]) -> None:
    """Copy bytes within the memory of each lane."""
    if not moves:
        return
    table = m.local.bytes[: m.count * m.local_stride].reshape(m.count, m.local_stride)
    lanes = m.lanes[s]
    for to, start, size in moves:
        table[lanes, to : to + size] = table[lanes, start : start + size]


@instruction("ret", control=True)
def leave(ins: ast.Instruction, d: Decoder) -> Op:
    """`ret`: back to the caller, or the end of a thread of a kernel."""
    program = d.program
    function = program.function_at[d.pc]
    if function.entry:
        return end(ins, d)
    name = function.name

    def run(m: Machine, s: Selection) -> int:
        back = m.returns[name][s]
        for pc in np.unique(back):
            chosen = m.narrow(s, back == pc)
            copy(m, chosen, program.call_results[int(pc)])
        m.pc[s] = back
        return -1

    return run


@instruction("exit", control=True)
def end(ins: ast.Instruction, d: Decoder) -> Op:
    """`exit`: the end of a thread."""

    def run(m: Machine, s: Selection) -> int:
        m.exit(m.lanes[s])
        return -1

    return run


@instruction("trap", "brkpt")
def trap(ins: ast.Instruction, d: Decoder) -> Op:
    """`trap`: the program says that something is wrong."""

    def run(m: Machine, s: Selection) -> None:
        m.fail(Trapped, ins, s, 0, f"{ins.name} was executed")

    return run
