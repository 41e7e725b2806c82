"""Instructions to closures.

Each family of instructions registers a builder under the first part of its opcode; the builder looks at modifiers and
operands once and returns a closure `(machine, selection) → None | program counter | -1`.  `Decoder` gives builders what
they need: sources (closures that return the values of the selected lanes) and destinations.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ptx import syntax as ast
from ptx.errors import PtxSyntaxError, Uninitialised, UnsupportedPtx
from ptx.machine import Machine, Selection
from ptx.program import Op, Program
from ptx.types import STORAGE, TYPES, Array, Scalar, f32_to_bf16_bits, spread

Source = Callable[[Machine, Selection], Array]
Destination = Callable[[Machine, Selection, Array], None]
Builder = Callable[[ast.Instruction, "Decoder"], Op]

BUILDERS: dict[str, Builder] = {}
CONTROL: set[str] = set()  # opcodes that may move lanes, and so see their guard themselves
_FAMILIES = ("integers", "bits", "floats", "functions", "convert", "moves", "loads", "atomics", "control", "barriers",
             "warp", "matrix", "copies", "mbarrier", "tensormap", "wgmma")  # fmt: skip


def instruction(*names: str, control: bool = False) -> Callable[[Builder], Builder]:
    """Register a builder for opcodes that begin with these names."""

    def register(builder: Builder) -> Builder:
        for name in names:
            BUILDERS[name] = builder
            if control:
                CONTROL.add(name)
        return builder

    return register


def literal(value: int | float, scalar: Scalar) -> Any:
    """Return a literal operand as a NumPy scalar of a type's dtype."""
    if scalar.kind == "p":
        return np.bool_(bool(value))
    if isinstance(value, float):
        if scalar.name == "bf16":
            return f32_to_bf16_bits(np.float32(value))[()]
        if scalar.kind == "f":
            return np.dtype(scalar.dtype if scalar.dtype.kind == "f" else np.float32).type(value)
        width = np.float32 if scalar.bits == 32 else np.float64
        return np.array([value], width).view(scalar.dtype)[0]
    return (
        np.array([value & ((1 << scalar.bits) - 1)], np.uint64).astype(scalar.storage).view(scalar.dtype)[0]
    )


class Decoder:
    """What builders ask about one program; `pc` is the instruction at hand."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.pc = 0

    @property
    def ins(self) -> ast.Instruction:
        """The instruction that is being decoded."""
        return self.program.instructions[self.pc]

    def unsupported(self, why: str) -> UnsupportedPtx:
        """Return the error for something outside of the subset."""
        return UnsupportedPtx(f"line {self.ins.line}: {why}\n  {self.ins.text}")

    def types(self) -> list[Scalar]:
        """Return the types named in the opcode."""
        return [TYPES[part] for part in self.ins.parts if part in TYPES]

    # ---- sources -------------------------------------------------------------------------------------------------
    def source(self, operand: ast.Operand, scalar: Scalar, *, any_width: bool = False) -> Source:
        """Return a closure that reads an operand as a type.

        A register of another size is an error, unless `any_width` (stores and conversions take the low bits).
        """
        match operand:
            case ast.Register():
                return self._register(operand, scalar, any_width)
            case ast.Not(register):
                inner = self._register(register, scalar, False)
                return lambda m, s: ~inner(m, s)
            case ast.Immediate(value):
                constant = literal(value, scalar)
                return lambda m, s: constant
            case ast.Special(name):
                return self._special(name, scalar)
            case ast.Symbol(variable, offset):
                return self._symbol(variable, offset, scalar)
        raise self.unsupported(f"operand {operand!r} where a value of .{scalar.name} is wanted")

    def _register(self, register: ast.Register, scalar: Scalar, any_width: bool) -> Source:
        k, dtype, bits = register.index, scalar.dtype, register.type.bits
        if bits == scalar.bits:
            if dtype == scalar.storage:
                read: Source = lambda m, s: m.r[k][s]  # noqa: E731
            else:
                read = lambda m, s: m.r[k][s].view(dtype)  # noqa: E731
        elif any_width and bits > scalar.bits:
            storage = scalar.storage
            read = lambda m, s: m.r[k][s].astype(storage).view(dtype)  # noqa: E731
        else:
            raise PtxSyntaxError(
                f"line {self.ins.line}: {register.name} has {bits} bits, .{scalar.name} has {scalar.bits}\n  {self.ins.text}"
            )
        return self._checked(register, read) if (self.pc, k) in self.program.unproven else read

    def _checked(self, register: ast.Register, read: Source) -> Source:
        """Check at each read that the lanes have written the register."""
        k, ins = register.index, self.ins

        def checked(m: Machine, s: Selection) -> Array:
            valid = m.valid[k][s]
            if m.settings.strict and not valid.all():
                m.fail(
                    Uninitialised,
                    ins,
                    s,
                    int(np.argmin(valid)),
                    f"reads {register.name}, which nothing has written",
                )
            return read(m, s)

        return checked

    def _special(self, name: str, scalar: Scalar) -> Source:
        if "clock" in name or "globaltimer" in name:
            dtype = scalar.storage
            return lambda m, s: np.full(m.lanes[s].shape, m.steps, dtype)
        if name.split(".")[0] in ("%envreg", "%pm") or name.startswith(("%envreg", "%pm")):
            raise self.unsupported(f"special register {name}")
        dtype = scalar.storage
        return lambda m, s: m.special[name][s].astype(dtype).view(scalar.dtype)

    def _symbol(self, variable: ast.Variable, offset: int, scalar: Scalar) -> Source:
        dtype = scalar.storage
        if variable.space in ("global", "const"):
            name = variable.name
            return lambda m, s: dtype.type(m.globals[name] + offset)
        constant = dtype.type(self.program.offset[variable] + offset)
        return lambda m, s: constant

    def address(self, operand: ast.Operand) -> Source:
        """Return a closure for an address operand: uint64, one per lane."""
        if not isinstance(operand, ast.Address):
            raise self.unsupported("expected an address in brackets")
        base, offset = operand.base, np.uint64(operand.offset & 0xFFFFFFFFFFFFFFFF)
        wide = TYPES["u64"]
        if isinstance(base, ast.Register) and base.type.bits == 32:
            narrow = self.source(base, TYPES["u32"])
            low = np.uint32(operand.offset & 0xFFFFFFFF)
            return lambda m, s: (narrow(m, s) + low).astype(np.uint64)
        read = self.source(base, wide)
        if not isinstance(base, ast.Register):
            return lambda m, s: spread(read(m, s) + offset, m.lanes[s].size)
        if not operand.offset:
            return read
        return lambda m, s: read(m, s) + offset

    def space(self, operand: ast.Operand) -> str:
        """Return the state space of a load or store: from its modifiers, or generic."""
        for part in self.ins.parts:
            name = part.split("::")[0]
            if name in ("global", "shared", "local", "const", "param"):
                base = operand.base if isinstance(operand, ast.Address) else None
                if (
                    name == "param"
                    and isinstance(base, ast.Symbol)
                    and base.variable not in self.program.kernel.params
                ):
                    return "local"  # parameters of device functions lie in each thread's own memory
                return name
        return "generic"

    # ---- destinations --------------------------------------------------------------------------------------------
    def destination(self, operand: ast.Operand, scalar: Scalar, *, any_width: bool = False) -> Destination:
        """Return a closure that writes values of a type to an operand; wider registers are extended by its sign."""
        if isinstance(operand, ast.Sink):
            return lambda m, s, v: None
        if not isinstance(operand, ast.Register):
            raise self.unsupported(f"{operand!r} cannot be written")
        k, bits = operand.index, operand.type.bits
        storage = STORAGE[bits]
        if bits == scalar.bits:
            if scalar.kind == "p":
                write: Destination = lambda m, s, v: m.r[k].__setitem__(s, v)  # noqa: E731
            else:
                write = lambda m, s, v: m.r[k].__setitem__(s, v.view(storage))  # noqa: E731
        elif any_width and bits > scalar.bits:
            wide = np.dtype(f"i{bits // 8}") if scalar.kind == "s" else storage
            narrow = scalar.dtype if scalar.kind == "s" else scalar.storage
            write = lambda m, s, v: m.r[k].__setitem__(s, v.view(narrow).astype(wide).view(storage))  # noqa: E731
        else:
            raise PtxSyntaxError(
                f"line {self.ins.line}: {operand.name} has {bits} bits, the result .{scalar.name} has {scalar.bits}\n"
                f"  {self.ins.text}"
            )
        if k not in self.program.tracked:
            return write

        def tracked(m: Machine, s: Selection, v: Array) -> None:
            write(m, s, v)
            m.valid[k][s] = True

        return tracked

    def map(self, function: Callable[..., Array], result: Scalar, *sources: tuple[ast.Operand, Scalar]) -> Op:
        """Return the closure of an instruction that maps sources to its first operand lane by lane."""
        write = self.destination(self.ins.operands[0], result)
        reads = [self.source(operand, scalar) for operand, scalar in sources]
        if len(reads) == 1:
            (a,) = reads
            return lambda m, s: write(m, s, function(a(m, s)))
        if len(reads) == 2:
            a, b = reads
            return lambda m, s: write(m, s, function(a(m, s), b(m, s)))
        return lambda m, s: write(m, s, function(*(read(m, s) for read in reads)))

    # ---- guards --------------------------------------------------------------------------------------------------
    def guard(self) -> Source | None:
        """Return a closure for the guard predicate, or None."""
        ins = self.ins
        if ins.guard is None:
            return None
        read = self.source(ins.guard, TYPES["pred"])
        return (lambda m, s: ~read(m, s)) if ins.negated else read


def _guarded(op: Op, guard: Source) -> Op:
    """Execute an instruction for the lanes whose guard holds."""

    def run(m: Machine, s: Selection) -> int | None:
        mask = guard(m, s)
        if mask.all():
            return op(m, s)
        if mask.any():
            return op(m, m.narrow(s, mask))
        return None

    return run


def _guarded_control(op: Op, guard: Source, pc: int) -> Op:
    """Execute an instruction that may move lanes for those whose guard holds; the others go on."""

    def run(m: Machine, s: Selection) -> int | None:
        mask = guard(m, s)
        if mask.all():
            return op(m, s)
        if not mask.any():
            return None
        chosen = m.narrow(s, mask)
        m.pc[s] = pc + 1
        m.pc[chosen] = pc
        moved = op(m, chosen)
        if moved is None:
            m.pc[chosen] = pc + 1
        elif moved >= 0:
            m.pc[chosen] = moved
        return -1

    return run


def decode(program: Program) -> list[Op]:
    """Return one closure per instruction."""
    for family in _FAMILIES:
        importlib.import_module(f"ptx.{family}")
    decoder = Decoder(program)
    code: list[Op] = []
    for pc, ins in enumerate(program.instructions):
        decoder.pc = pc
        builder = BUILDERS.get(ins.name)
        if builder is None:
            raise decoder.unsupported(f"unsupported instruction {ins.opcode}")
        try:
            op = builder(ins, decoder)
        except (IndexError, KeyError, ValueError) as error:
            raise decoder.unsupported(f"cannot decode {ins.opcode}: {error!r}") from error
        guard = decoder.guard()
        if guard is not None:
            op = _guarded_control(op, guard, pc) if ins.name in CONTROL else _guarded(op, guard)
        code.append(op)
    return code
