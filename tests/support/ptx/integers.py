"""Integer arithmetic, with wraparound; `add` and its like for floats are handed on to `floats`."""

from __future__ import annotations

import numpy as np

from ptx import floats
from ptx import syntax as ast
from ptx.decode import Decoder, instruction
from ptx.machine import Machine, Selection
from ptx.program import Op
from ptx.types import TYPES, Array, Scalar, halves, join_halves, spread


def high_half(a: Array, b: Array) -> Array:
    """Return the upper half of the product of two integers of the same type."""
    bits = a.dtype.itemsize * 8
    if bits < 64:
        wide = np.dtype(f"{a.dtype.kind}{bits // 4}")
        return ((a.astype(wide) * b.astype(wide)) >> wide.type(bits)).astype(a.dtype)
    x, y = np.asarray(a).view(np.uint64), np.asarray(b).view(np.uint64)
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    x0, x1, y0, y1 = x & low, x >> shift, y & low, y >> shift
    middle = x1 * y0 + ((x0 * y0) >> shift)
    other = x0 * y1 + (middle & low)
    high = x1 * y1 + (middle >> shift) + (other >> shift)
    if a.dtype.kind == "i":
        zero = np.uint64(0)
        high = high - np.where(a < 0, y, zero) - np.where(b < 0, x, zero)
    return high.view(a.dtype)


def magnitude(a: Array) -> Array:
    """Return |a| as unsigned, also of the smallest integer."""
    unsigned = np.dtype(f"u{a.dtype.itemsize}")
    return np.where(a < 0, -a, a).astype(a.dtype).view(unsigned)


def divide(a: Array, b: Array) -> Array:
    """Divide towards zero; by zero gives all ones."""
    unsigned = np.dtype(f"u{a.dtype.itemsize}")
    x, y = (magnitude(a), magnitude(b)) if a.dtype.kind == "i" else (a, b)
    quotient = np.floor_divide(x, np.where(y == 0, unsigned.type(1), y)).astype(unsigned)
    if a.dtype.kind == "i":
        quotient = np.where((a < 0) != (b < 0), np.uint64(0) - quotient, quotient).astype(unsigned)
    return np.where(b == 0, ~unsigned.type(0), quotient).astype(unsigned).view(a.dtype)


def remainder(a: Array, b: Array) -> Array:
    """Return a - divide(a, b) · b; by zero gives a."""
    return np.where(b == 0, a, a - divide(a, b) * b).astype(a.dtype)


def saturated(name: str, a: Array, b: Array) -> Array:
    """Add or subtract 32-bit signed integers with clamping."""
    x, y = a.astype(np.int64), b.astype(np.int64)
    return np.clip(x + y if name == "add" else x - y, -(2**31), 2**31 - 1).astype(np.int32)


BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "min": np.minimum,
    "max": np.maximum,
    "div": divide,
    "rem": remainder,
}


def by_halves(function, kind: str):
    """Lift a function of 16-bit integers to pairs of them."""
    dtype = np.dtype("i2" if kind == "s" else "u2")

    def lifted(*values: Array) -> Array:
        parts = [halves(v) for v in values]
        low, high = (function(*(p[i].view(dtype) for p in parts)) for i in (0, 1))
        return join_halves(low.view(np.uint16), high.view(np.uint16))

    return lifted


@instruction("add", "sub", "min", "max", "div", "rem")
def binary(ins: ast.Instruction, d: Decoder) -> Op:
    """`add.s32 d, a, b;` and other operations of two integers."""
    scalar = d.types()[-1]
    if scalar.kind == "f":
        return floats.binary(ins, d)
    if ins.has("cc"):
        return carrying(ins, d)
    if ins.has("relu") or (ins.has("sat") and scalar.name != "s32"):
        raise d.unsupported(f"{ins.opcode}")
    function = BINARY[ins.name]
    if ins.has("sat"):
        function = lambda a, b: saturated(ins.name, a, b)  # noqa: E731
    elif scalar.name in ("s16x2", "u16x2"):
        function = by_halves(function, scalar.kind)
    return d.map(function, scalar, (ins.operands[1], scalar), (ins.operands[2], scalar))


def product(ins: ast.Instruction, d: Decoder, scalar: Scalar):
    """Return the multiplication that an opcode asks for, and the type of its result."""
    if ins.has("wide"):
        wide = TYPES[f"{scalar.kind}{scalar.bits * 2}"]
        return (lambda a, b: a.astype(wide.dtype) * b.astype(wide.dtype)), wide
    if ins.has("hi"):
        return high_half, scalar
    if ins.has("lo"):
        return (lambda a, b: a * b), scalar
    raise d.unsupported(ins.opcode)


@instruction("mul", "mad", "mul24", "mad24")
def multiply(ins: ast.Instruction, d: Decoder) -> Op:
    """`mul.lo`, `mul.hi`, `mul.wide`, and the same with an addend."""
    scalar = d.types()[-1]
    if scalar.kind == "f":
        return floats.fused(ins, d) if ins.name == "mad" else floats.binary(ins, d)
    if ins.has("cc"):
        return carrying(ins, d)
    if ins.has("sat") or ins.name.endswith("24"):
        raise d.unsupported(ins.opcode)
    function, result = product(ins, d, scalar)
    if ins.name == "mul":
        return d.map(function, result, (ins.operands[1], scalar), (ins.operands[2], scalar))
    return d.map(
        lambda a, b, c: function(a, b) + c,
        result,
        (ins.operands[1], scalar),
        (ins.operands[2], scalar),
        (ins.operands[3], result),
    )


@instruction("addc", "subc", "madc")
def carrying(ins: ast.Instruction, d: Decoder) -> Op:
    """`add.cc`, `addc`, `sub.cc`, `subc`, `mad.lo.cc`, `madc.hi`, …: sums of several words with a carry between them."""
    scalar = d.types()[-1]
    reads = [d.source(operand, scalar) for operand in ins.operands[1:]]
    write = d.destination(ins.operands[0], scalar)
    takes, gives, minus = ins.name.endswith("c"), ins.has("cc"), ins.name.startswith("sub")
    part = product(ins, d, scalar)[0] if ins.name.startswith("mad") else None

    def run(m: Machine, s: Selection) -> None:
        values = [spread(read(m, s), m.lanes[s].size) for read in reads]
        if part is not None:
            values = [part(values[0], values[1]), values[2]]
        a, b = (v.view(scalar.storage) for v in values)
        carry = m.carry[s] if takes else np.zeros(a.shape, bool)
        one = carry.astype(scalar.storage)
        total = a - b - one if minus else a + b + one
        if gives:
            m.carry[s] = (a < b) | (carry & (a == b)) if minus else (total < a) | (carry & (total == a))
        write(m, s, total.view(scalar.dtype))

    return run


@instruction("neg", "abs")
def unary(ins: ast.Instruction, d: Decoder) -> Op:
    """`neg` and `abs`; of the smallest integer they are itself."""
    scalar = d.types()[-1]
    if scalar.kind == "f":
        return floats.sign(ins, d)
    function = np.negative if ins.name == "neg" else lambda a: np.where(a < 0, -a, a).astype(a.dtype)
    return d.map(function, scalar, (ins.operands[1], scalar))


@instruction("sad")
def absolute_difference(ins: ast.Instruction, d: Decoder) -> Op:
    """`sad d, a, b, c`: c + |a - b|."""
    scalar = d.types()[-1]
    function = lambda a, b, c: c + np.where(a < b, b - a, a - b).astype(a.dtype)  # noqa: E731
    return d.map(function, scalar, *((operand, scalar) for operand in ins.operands[1:]))


@instruction("dp4a", "dp2a")
def dot(ins: ast.Instruction, d: Decoder) -> Op:
    """`dp4a.atype.btype d, a, b, c`: four products of bytes, plus c; `dp2a` two products of halves and bytes."""
    first, second = d.types()
    signed = "s" in (first.kind, second.kind)
    result = TYPES["s32" if signed else "u32"]
    bits, count = (8, 4) if ins.name == "dp4a" else (16, 2)
    base = 2 if ins.has("hi") else 0

    def function(a: Array, b: Array, c: Array) -> Array:
        total = c.astype(np.int64)
        for i in range(count):
            total = total + field(a, i, bits, first.kind) * field(b, base + i, 8, second.kind)
        return (total & 0xFFFFFFFF).astype(np.uint32).view(result.dtype)

    word = TYPES["b32"]
    return d.map(
        function, result, (ins.operands[1], word), (ins.operands[2], word), (ins.operands[3], result)
    )


def field(a: Array, number: int, bits: int, kind: str) -> Array:
    """Return a field of some bits of a word as int64."""
    part = (np.asarray(a).astype(np.int64) >> (number * bits)) & ((1 << bits) - 1)
    return np.where(part >> (bits - 1) == 1, part - (1 << bits), part) if kind == "s" else part
