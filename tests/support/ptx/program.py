"""A kernel made ready to run: the functions it reaches in one row of instructions, memory laid out, operands decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ptx import syntax as ast
from ptx.errors import PtxError, PtxSyntaxError, UnsupportedPtx
from ptx.memory import GUARD, Memory, Regions
from ptx.syntax import operands
from ptx.undefined import check_fences, read, unproven_reads, written

if TYPE_CHECKING:
    from ptx.machine import Machine, Selection

Op = Callable[["Machine", "Selection"], "int | None"]


class Program:
    """A kernel and all that it calls.

    Attributes:
        kernel: the entry.
        code: one closure per instruction, which returns None (go on), a program counter, or -1 (the lanes have moved).
        instructions: what the closures came from.
        entries: where each function starts.
        offset: where variables of the shared, local and parameter spaces lie.
        call_results: per return address, what to copy to the caller: (to, from, bytes) in each thread's memory.
        waits_for_kernel: whether threads wait for the kernel before (`griddepcontrol.wait`).
        tracked: registers of which reads are checked while running, since no analysis shows that they were written.
    """

    def __init__(self, module: ast.ModuleSyntax, kernel: str) -> None:
        if kernel not in module.functions or not module.functions[kernel].entry:
            known = ", ".join(name for name, function in module.functions.items() if function.entry)
            raise PtxError(f"no kernel {kernel!r} in this module; it has {known or 'none'}")
        self.module = module
        self.kernel = module.functions[kernel]
        self.functions: list[ast.Function] = []
        self.entries: dict[str, int] = {}
        self.instructions: list[ast.Instruction] = []
        self.targets: dict[int, int] = {}  # id of a label operand → program counter
        self.function_at: list[ast.Function] = []
        self.call_results: dict[int, list[tuple[int, int, int]]] = {}
        self._link(self.kernel)
        self.waits_for_kernel = any(i.name == "griddepcontrol" and i.has("wait") for i in self.instructions)
        self._touched: dict[int, frozenset[int]] = {}
        self.registers = self._registers()
        self.offset: dict[ast.Variable, int] = {}
        self._layout()
        self.unproven = unproven_reads(self)
        check_fences(self)
        self.tracked = {register for _, register in self.unproven}
        from ptx.decode import decode

        self.code: list[Op] = decode(self)

    def _link(self, function: ast.Function) -> None:
        """Append a function and, after it, those that it calls."""
        base = len(self.instructions)
        self.functions.append(function)
        self.entries[function.name] = base
        self.instructions += function.body
        end = ast.Instruction(
            ("ret",), [], None, False, function.body[-1].line if function.body else 0, "ret;"
        )
        self.instructions.append(end)
        self.function_at += [function] * (len(function.body) + 1)
        called: list[tuple[str, int]] = []
        for ins in function.body:
            for operand in operands(ins.operands):
                if isinstance(operand, ast.Name):
                    self.targets[id(operand)] = base + operand.target if operand.target >= 0 else -1
                    if operand.target < 0 and ins.name == "call":
                        called.append((operand.text, ins.line))
        for table in function.tables.values():
            for name in table:
                self.targets[id(name)] = base + name.target
        for name, line in called:
            if name in self.entries:
                continue
            if name not in self.module.functions or self.module.functions[name].declared_only:
                raise UnsupportedPtx(f"line {line}: call of {name}, which has no body in this module")
            self._link(self.module.functions[name])

    def touched(self, pc: int) -> frozenset[int]:
        """Return the numbers of the registers that an instruction reads or writes."""
        if pc not in self._touched:
            self._touched[pc] = frozenset(read(self.instructions[pc]) | written(self.instructions[pc]))
        return self._touched[pc]

    def _registers(self) -> list[ast.Register]:
        found: dict[int, ast.Register] = {}
        for ins in self.instructions:
            for operand in (*operands(ins.operands), ins.guard):
                if isinstance(operand, ast.Register):
                    found[operand.index] = operand
        for register in found.values():
            if register.type.bits == 128:
                raise UnsupportedPtx(f"register {register.name} of 128 bits")
        return list(found.values())

    def _layout(self) -> None:
        """Give variables their places: shared ones with gaps between them that belong to nobody."""
        used = {
            o.variable: None
            for i in self.instructions
            for o in operands(i.operands)
            if isinstance(o, ast.Symbol)
        }
        shared = [v for v in used if v.space == "shared"]
        fixed = [v for v in shared if not (v.external and v.size == 0)]
        self.dynamic = [v for v in shared if v.external and v.size == 0]
        at = 0
        self._fixed: list[tuple[int, ast.Variable]] = []
        for variable in fixed:
            if self._fixed:
                at += 128
            at = (at + variable.align - 1) // variable.align * variable.align
            self.offset[variable] = at
            self._fixed.append((at, variable))
            at += variable.size
        align = max((v.align for v in self.dynamic), default=16)
        if fixed and self.dynamic:
            at += 128
        self.shared_size = (at + align - 1) // align * align if self.dynamic or not fixed else at
        for variable in self.dynamic:
            self.offset[variable] = self.shared_size
        self.param_regions, at = Regions(), 0
        for variable in self.kernel.params:
            at = (at + variable.align - 1) // variable.align * variable.align
            self.offset[variable] = at
            self.param_regions.add(at, variable.size, variable.name, False)
            at += variable.size
        self.param_size = at
        self.local_regions, at = Regions(), 0
        for function in self.functions:
            own = [] if function.entry else [*function.params, *function.results]
            for variable in (*own, *(v for v in function.variables if v.space in ("local", "param"))):
                at = (at + 16 + variable.align - 1) // variable.align * variable.align
                self.offset[variable] = at
                self.local_regions.add(at, variable.size, variable.name)
                at += variable.size
        self.local_size = at

    def shared_regions(self, dynamic_bytes: int) -> Regions:
        """Return what of shared memory may be touched when so many dynamic bytes are asked for."""
        regions = Regions()
        for at, variable in self._fixed:
            regions.add(at, variable.size, variable.name)
        if dynamic_bytes:
            regions.add(self.shared_size, dynamic_bytes, "dynamic shared memory")
        return regions

    def place_variables(self, memory: Memory) -> dict[str, int]:
        """Put the module's `.global` and `.const` variables into a memory, once, and return their addresses."""
        known = memory.variables.get(self.module)
        if known is not None:
            return known
        addresses: dict[str, int] = {}
        placed = [v for v in self.module.variables if v.space in ("global", "const") and v.size]
        placed += [
            v for f in self.module.functions.values() for v in f.variables if v.space in ("global", "const")
        ]
        for variable in placed:
            constant = variable.space == "const"
            pointer = memory.allocate(variable.size, max(variable.align, 16), variable.name, not constant)
            addresses[variable.name] = pointer
            content = variable.init or bytes(variable.size)
            memory.write(pointer, np.frombuffer(content, np.uint8))
        for variable in placed:
            for at, name, addend in variable.addresses:
                if name not in addresses:
                    raise PtxSyntaxError(
                        f"{variable.name} is initialised with the address of {name}, which is no variable"
                    )
                word = np.array([addresses[name] + addend], np.uint64).view(np.uint8)
                memory.write(addresses[variable.name] + at, word)
        memory.variables[self.module] = addresses
        return addresses


assert GUARD >= 16  # accesses of 16 bytes cannot straddle the gap between two allocations
