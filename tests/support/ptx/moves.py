"""Moves, address conversions, comparisons and selections."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ptx import syntax as ast
from ptx.decode import Decoder, instruction
from ptx.errors import BadOperand
from ptx.floats import flush, paired, unpack
from ptx.machine import CLUSTER_SHIFT, Machine, Selection
from ptx.memory import WINDOW_SHIFT, WINDOWS
from ptx.program import Op
from ptx.types import STORAGE, TYPES, Array, Scalar, halves, spread


@instruction("mov")
def move(ins: ast.Instruction, d: Decoder) -> Op:
    """`mov`: registers, literals, special registers, addresses of variables; packs and unpacks vectors."""
    scalar = d.types()[-1]
    target, source = ins.operands
    if isinstance(target, ast.Vector):
        return unpack_vector(d, target, source, scalar)
    if isinstance(source, ast.Vector):
        return pack_vector(d, target, source, scalar)
    bits = scalar if scalar.kind == "p" or is_literal(source) else TYPES[f"b{scalar.bits}"]
    read, write = d.source(source, bits), d.destination(target, bits)
    return lambda m, s: write(m, s, read(m, s))


def is_literal(operand: ast.Operand) -> bool:
    """Whether an operand is a literal, whose bits depend on the type."""
    return isinstance(operand, ast.Immediate)


def unpack_vector(d: Decoder, target: ast.Vector, source: ast.Operand, scalar: Scalar) -> Op:
    """`mov.b64 {lo, hi}, a`."""
    bits = scalar.bits // len(target.items)
    part = TYPES[f"b{bits}"]
    read = d.source(source, TYPES[f"b{scalar.bits}"])
    writes = [d.destination(item, part) for item in target.items]

    def run(m: Machine, s: Selection) -> None:
        value = np.asarray(read(m, s))
        for i, write in enumerate(writes):
            write(m, s, (value >> value.dtype.type(i * bits)).astype(part.storage))

    return run


def pack_vector(d: Decoder, target: ast.Operand, source: ast.Vector, scalar: Scalar) -> Op:
    """`mov.b64 a, {lo, hi}`."""
    bits = scalar.bits // len(source.items)
    whole = TYPES[f"b{scalar.bits}"]
    reads = [d.source(item, TYPES[f"b{bits}"]) for item in source.items]
    write, wide = d.destination(target, whole), STORAGE[scalar.bits]

    def run(m: Machine, s: Selection) -> None:
        value = wide.type(0)
        for i, read in enumerate(reads):
            value = value | (np.asarray(read(m, s)).astype(wide) << wide.type(i * bits))
        write(m, s, np.asarray(value))

    return run


@instruction("cvta")
def convert_address(ins: ast.Instruction, d: Decoder) -> Op:
    """`cvta.space` makes an address generic, `cvta.to.space` brings it back."""
    scalar = d.types()[-1]
    space = next(
        p.split("::")[0]
        for p in ins.parts
        if p.split("::")[0] in ("global", "shared", "local", "const", "param")
    )
    window = np.uint64(WINDOWS.get(space, 0) << WINDOW_SHIFT)
    back = ins.has("to")

    def function(a: Array) -> Array:
        return a - window if back else a + window

    return d.map(function, scalar, (ins.operands[1], scalar))


@instruction("isspacep")
def in_space(ins: ast.Instruction, d: Decoder) -> Op:
    """`isspacep.space p, a`: whether a generic address lies in a space."""
    number = np.uint64(WINDOWS.get(ins.parts[1].split("::")[0], 0))
    function = lambda a: (a >> np.uint64(WINDOW_SHIFT)) == number  # noqa: E731
    return d.map(function, TYPES["pred"], (ins.operands[1], TYPES["u64"]))


_ORDERED: dict[str, Callable[[Array, Array], Array]] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal,
}  # fmt: skip
_UNORDERED = {"equ": "eq", "neu": "ne", "ltu": "lt", "leu": "le", "gtu": "gt", "geu": "ge"}
_ONES = {"f16": np.uint16(0x3C00), "bf16": np.uint16(0x3F80)}
_BOOLEAN = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}


def comparison(ins: ast.Instruction, d: Decoder, scalar: Scalar) -> Callable[[Array, Array], Array]:
    """Return the comparison that an opcode names, on values of a type."""
    name = next((p for p in ins.parts[1:] if p in _ORDERED or p in _UNORDERED or p in ("num", "nan")), None)
    if name is None:
        raise d.unsupported(ins.opcode)
    if scalar.kind != "f":
        return _ORDERED[name]

    def values(a: Array) -> Array:
        if scalar.name in ("f16", "bf16"):
            return unpack(a, scalar.name)
        return flush(a) if ins.has("ftz") else a

    def compare(a: Array, b: Array) -> Array:
        a, b = values(a), values(b)
        unordered = np.isnan(a) | np.isnan(b)
        if name == "num":
            return ~unordered
        if name == "nan":
            return unordered
        if name in _UNORDERED:
            return _ORDERED[_UNORDERED[name]](a, b) | unordered
        return _ORDERED[name](a, b) & ~unordered  # NumPy's != is true for NaN, that of PTX is not

    return compare


@instruction("setp")
def set_predicate(ins: ast.Instruction, d: Decoder) -> Op:
    """`setp.cmp{.and}.type p{|q}, a, b{, c}`."""
    scalar = d.types()[-1]
    if scalar.name in ("f16x2", "bf16x2"):
        return set_pair(ins, d, scalar)
    compare = comparison(ins, d, scalar)
    a, b = d.source(ins.operands[1], scalar), d.source(ins.operands[2], scalar)
    combine = next((_BOOLEAN[p] for p in ins.parts[2:] if p in _BOOLEAN), None)
    c = d.source(ins.operands[3], TYPES["pred"]) if combine is not None else None
    target = ins.operands[0]
    first, second = (target.first, target.second) if isinstance(target, ast.Pair) else (target, None)
    p = d.destination(first, TYPES["pred"])
    q = d.destination(second, TYPES["pred"]) if second is not None else None

    def run(m: Machine, s: Selection) -> None:
        result = compare(a(m, s), b(m, s))
        opposite = ~result
        if combine is not None and c is not None:
            other = c(m, s)
            result, opposite = combine(result, other), combine(opposite, other)
        p(m, s, result)
        if q is not None:
            q(m, s, opposite)

    return run


def set_pair(ins: ast.Instruction, d: Decoder, scalar: Scalar) -> Op:
    """`setp.cmp.f16x2 p|q, a, b`: one predicate per half."""
    if not isinstance(ins.operands[0], ast.Pair) or len(ins.operands) != 3:
        raise d.unsupported(ins.opcode)
    compare = comparison(ins, d, TYPES[scalar.name.removesuffix("x2")])
    word = TYPES["b32"]
    a, b = d.source(ins.operands[1], word), d.source(ins.operands[2], word)
    writes = [d.destination(o, TYPES["pred"]) for o in (ins.operands[0].first, ins.operands[0].second)]

    def run(m: Machine, s: Selection) -> None:
        for write, x, y in zip(writes, halves(a(m, s)), halves(b(m, s))):
            write(m, s, compare(x, y))

    return run


@instruction("set")
def set_value(ins: ast.Instruction, d: Decoder) -> Op:
    """`set.cmp.dtype.stype d, a, b`: all ones (integers) or 1.0 (floats) where it holds."""
    target, scalar = d.types()[-2:]
    if any(p in _BOOLEAN for p in ins.parts):
        raise d.unsupported(ins.opcode)
    compare = comparison(ins, d, TYPES[scalar.name.removesuffix("x2")])
    one = _ONES.get(target.name.removesuffix("x2"))
    if one is not None and target.name == scalar.name:
        pair = target.name.endswith("x2")
        raw = TYPES["b32" if pair else "b16"]
        single = lambda a, b: np.where(compare(a, b), one, np.uint16(0))  # noqa: E731
        return d.map(paired(single) if pair else single, raw, (ins.operands[1], raw), (ins.operands[2], raw))
    if target.name not in ("u32", "s32", "f32") or scalar.name.endswith("x2"):
        raise d.unsupported(ins.opcode)
    true = (
        np.float32(1) if target.kind == "f" else target.dtype.type(-1 if target.kind == "s" else 0xFFFFFFFF)
    )
    function = lambda a, b: np.where(compare(a, b), true, target.dtype.type(0))  # noqa: E731
    return d.map(function, target, (ins.operands[1], scalar), (ins.operands[2], scalar))


@instruction("selp")
def select(ins: ast.Instruction, d: Decoder) -> Op:
    """`selp.type d, a, b, p`."""
    scalar = d.types()[-1]
    function = lambda a, b, p: np.where(p, a, b)  # noqa: E731
    sources = (ins.operands[1], scalar), (ins.operands[2], scalar), (ins.operands[3], TYPES["pred"])
    return d.map(function, scalar, *sources)


@instruction("slct")
def select_sign(ins: ast.Instruction, d: Decoder) -> Op:
    """`slct.dtype.ctype d, a, b, c`: a where c >= 0."""
    scalar, control = d.types()[-2:]
    function = lambda a, b, c: np.where(c >= 0, a, b)  # noqa: E731
    return d.map(
        function, scalar, (ins.operands[1], scalar), (ins.operands[2], scalar), (ins.operands[3], control)
    )


@instruction("copysign")
def copy_sign(ins: ast.Instruction, d: Decoder) -> Op:
    """`copysign.f32 d, a, b`: b with the sign of a."""
    scalar = d.types()[-1]
    return d.map(lambda a, b: np.copysign(b, a), scalar, (ins.operands[1], scalar), (ins.operands[2], scalar))


@instruction("testp")
def test(ins: ast.Instruction, d: Decoder) -> Op:
    """`testp.op.f32 p, a`."""
    scalar = d.types()[-1]
    smallest = np.finfo(scalar.dtype).smallest_normal
    functions = {
        "finite": np.isfinite,
        "infinite": np.isinf,
        "number": lambda a: ~np.isnan(a),
        "notanumber": np.isnan,
        "normal": lambda a: np.isfinite(a) & (np.abs(a) >= smallest),
        "subnormal": lambda a: (a != 0) & (np.abs(a) < smallest),
    }
    return d.map(functions[ins.parts[1]], TYPES["pred"], (ins.operands[1], scalar))


@instruction("mapa")
def map_address(ins: ast.Instruction, d: Decoder) -> Op:
    """`mapa{.shared::cluster}.u32 d, a, rank`: an address of another block of the cluster."""
    scalar = d.types()[-1]
    write = d.destination(ins.operands[0], scalar)
    a, rank = d.source(ins.operands[1], scalar), d.source(ins.operands[2], TYPES["u32"])

    def run(m: Machine, s: Selection) -> None:
        number = spread(rank(m, s), m.lanes[s].size)
        if (number >= int(np.prod(m.settings.cluster))).any():
            m.fail(BadOperand, ins, s, int(np.argmax(number)), f"rank {number.max()} is not in the cluster")
        shifted = (number.astype(scalar.dtype) + scalar.dtype.type(1)) << scalar.dtype.type(CLUSTER_SHIFT)
        write(m, s, np.asarray(a(m, s)) + shifted)

    return run
