"""What a parsed PTX module consists of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ptx.types import Scalar


@dataclass(eq=False)
class Register:
    """A virtual register: name as written, type, and its number in the module (unique, functions do not recurse)."""

    name: str
    type: Scalar
    index: int


@dataclass(eq=False)
class Variable:
    """A variable: state space, element type, bytes, alignment, initial bytes.

    `init` holds (byte offset, name, addend) for words that are the address of another variable.
    """

    name: str
    space: str
    type: Scalar
    size: int
    align: int
    init: bytes = b""
    addresses: list[tuple[int, str, int]] = field(default_factory=list)
    external: bool = False


@dataclass(frozen=True)
class Immediate:
    """A literal; `single` marks `0f…`, whose bits matter."""

    value: int | float


@dataclass(frozen=True)
class Special:
    """A special register such as `%tid.x`."""

    name: str


@dataclass(frozen=True)
class Symbol:
    """The address of a variable, plus an offset."""

    variable: Variable
    offset: int = 0


@dataclass(frozen=True)
class Not:
    """A negated predicate operand."""

    register: Register


@dataclass(frozen=True)
class Vector:
    """Operands in braces."""

    items: tuple[Operand, ...]


@dataclass(frozen=True)
class Pair:
    """Two destinations: `d|p`."""

    first: Operand
    second: Operand


@dataclass(frozen=True)
class Address:
    """An operand in brackets; `extra` are the coordinates of a tensor copy."""

    base: Operand
    offset: int = 0
    extra: tuple[Operand, ...] = ()


@dataclass(frozen=True)
class Sink:
    """The operand `_`: the result is not wanted."""


@dataclass(eq=False)
class Name:
    """A label or a function; labels get their target when the function is complete."""

    text: str
    target: int = -1


@dataclass(frozen=True)
class Arguments:
    """A list in parentheses, of a call."""

    items: tuple[Operand, ...]


Operand = Register | Immediate | Special | Symbol | Not | Vector | Pair | Address | Sink | Name | Arguments


def operands(items: Iterable[Operand]) -> Iterator[Operand]:
    """Walk operands and what they consist of."""
    for item in items:
        yield item
        match item:
            case Vector(parts) | Arguments(parts):
                yield from operands(parts)
            case Address(base, _, extra):
                yield from operands((base, *extra))
            case Pair(first, second):
                yield from operands((first, second))
            case Not(register):
                yield register


@dataclass(eq=False)
class Instruction:
    """One instruction: opcode split at the dots, operands, guard predicate, and where it stands."""

    parts: tuple[str, ...]
    operands: list[Operand]
    guard: Register | None
    negated: bool
    line: int
    text: str

    @property
    def name(self) -> str:
        """First part of the opcode."""
        return self.parts[0]

    @property
    def opcode(self) -> str:
        """The whole opcode."""
        return ".".join(self.parts)

    def has(self, *modifiers: str) -> bool:
        """Whether any of the modifiers stands in the opcode."""
        return any(modifier in self.parts for modifier in modifiers)


@dataclass(eq=False)
class Function:
    """A kernel or a device function: parameters, results, instructions, and what `.maxntid` and the like say."""

    name: str
    entry: bool
    params: list[Variable] = field(default_factory=list)
    results: list[Variable] = field(default_factory=list)
    body: list[Instruction] = field(default_factory=list)
    variables: list[Variable] = field(default_factory=list)
    limits: dict[str, tuple[int, ...]] = field(default_factory=dict)
    tables: dict[str, list[Name]] = field(default_factory=dict)
    declared_only: bool = True


@dataclass(eq=False)
class ModuleSyntax:
    """A parsed file."""

    version: str
    target: str
    functions: dict[str, Function]
    variables: list[Variable]
    registers: list[Register]
