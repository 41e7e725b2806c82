"""Operations on bits: logic, shifts, fields, permutations of bytes, counting."""

from __future__ import annotations

import numpy as np

from ptx import syntax as ast
from ptx.decode import Decoder, instruction
from ptx.program import Op
from ptx.types import TYPES, Array

U32 = TYPES["u32"]


@instruction("and", "or", "xor", "not", "cnot")
def logic(ins: ast.Instruction, d: Decoder) -> Op:
    """Bitwise logic, also on predicates; `cnot` is 1 for zero."""
    scalar = d.types()[-1]
    sources = [(operand, scalar) for operand in ins.operands[1:]]
    functions = {
        "and": np.bitwise_and,
        "or": np.bitwise_or,
        "xor": np.bitwise_xor,
        "not": np.invert,
        "cnot": lambda a: (a == 0).astype(a.dtype),
    }
    return d.map(functions[ins.name], scalar, *sources)


@instruction("shl", "shr")
def shift(ins: ast.Instruction, d: Decoder) -> Op:
    """Shifts; amounts of the width and beyond give zero, or the sign."""
    scalar = d.types()[-1]
    bits, dtype = scalar.bits, scalar.dtype
    most = np.uint32(bits - 1)

    def function(a: Array, n: Array) -> Array:
        amount = np.minimum(n, most).astype(dtype)
        if ins.name == "shl":
            return np.where(n > most, dtype.type(0), a << amount).astype(dtype)
        if scalar.kind == "s":
            return (a >> amount).astype(dtype)
        return np.where(n > most, dtype.type(0), a >> amount).astype(dtype)

    amount = ins.operands[2]
    if isinstance(amount, ast.Immediate) and 0 <= amount.value < bits:
        constant = dtype.type(int(amount.value))
        simple = np.left_shift if ins.name == "shl" else np.right_shift
        return d.map(lambda a: simple(a, constant), scalar, (ins.operands[1], scalar))
    return d.map(function, scalar, (ins.operands[1], scalar), (ins.operands[2], U32))


@instruction("shf")
def funnel(ins: ast.Instruction, d: Decoder) -> Op:
    """`shf.l` and `shf.r`: 32 bits of the shifted 64-bit value {b, a}."""
    left, clamp = ins.has("l"), ins.has("clamp")

    def function(a: Array, b: Array, c: Array) -> Array:
        n = np.minimum(c, np.uint32(32)) if clamp else c & np.uint32(31)
        n = n.astype(np.uint64)
        whole = (np.asarray(b).astype(np.uint64) << np.uint64(32)) | a
        if left:  # for an amount of 32 the upper word is what was the lower one
            return ((whole << n) >> np.uint64(32)).astype(np.uint32)
        return (whole >> n).astype(np.uint32)

    return d.map(function, U32, *((operand, U32) for operand in ins.operands[1:]))


@instruction("bfe")
def extract(ins: ast.Instruction, d: Decoder) -> Op:
    """`bfe d, a, pos, len`: a field, extended by its sign if the type has one."""
    scalar = d.types()[-1]
    bits = scalar.bits

    def function(a: Array, position: Array, length: Array) -> Array:
        position = np.asarray(position & np.uint32(0xFF)).astype(np.int64)
        length = np.asarray(length & np.uint32(0xFF)).astype(np.int64)
        result = np.zeros(np.broadcast_shapes(a.shape, position.shape, length.shape), scalar.storage)
        raw = np.asarray(a).view(scalar.storage)
        signed = scalar.kind == "s"
        top = np.minimum(position + length - 1, bits - 1)
        sign = (
            (raw >> top.astype(scalar.storage)) & scalar.storage.type(1) if signed else np.zeros_like(result)
        )
        sign = np.where(length == 0, 0, sign)
        for i in range(bits):
            at = position + i
            bit = (raw >> np.minimum(at, bits - 1).astype(scalar.storage)) & scalar.storage.type(1)
            bit = np.where((i < length) & (at < bits), bit, sign).astype(scalar.storage)
            result |= bit << scalar.storage.type(i)
        return result.view(scalar.dtype)

    given = ins.operands[2], ins.operands[3]
    if all(isinstance(o, ast.Immediate) for o in given):
        start, count = (int(o.value) for o in given if isinstance(o, ast.Immediate))
        if count > 0 and start >= 0 and start + count <= bits:  # two shifts do it
            up, down = scalar.dtype.type(bits - start - count), scalar.dtype.type(bits - count)
            return d.map(lambda a: (a << up) >> down, scalar, (ins.operands[1], scalar))
    return d.map(function, scalar, (ins.operands[1], scalar), (ins.operands[2], U32), (ins.operands[3], U32))


@instruction("bfi")
def insert(ins: ast.Instruction, d: Decoder) -> Op:
    """`bfi d, a, b, pos, len`: b with a field replaced by the low bits of a."""
    scalar = d.types()[-1]
    one, bits = scalar.storage.type(1), scalar.bits

    def function(a: Array, b: Array, position: Array, length: Array) -> Array:
        position = np.asarray(position & np.uint32(0xFF)).astype(np.int64)
        length = np.minimum(np.asarray(length & np.uint32(0xFF)).astype(np.int64), bits)
        low = np.where(
            length >= bits,
            ~scalar.storage.type(0),
            (one << np.minimum(length, bits - 1).astype(scalar.storage)) - one,
        )
        at = np.minimum(position, bits - 1).astype(scalar.storage)
        mask = np.where(position >= bits, scalar.storage.type(0), low << at).astype(scalar.storage)
        return (b & ~mask) | ((a << at) & mask)

    return d.map(
        function,
        scalar,
        (ins.operands[1], scalar),
        (ins.operands[2], scalar),
        (ins.operands[3], U32),
        (ins.operands[4], U32),
    )


@instruction("prmt")
def permute(ins: ast.Instruction, d: Decoder) -> Op:
    """`prmt{.mode} d, a, b, c`: picks four bytes out of the eight of {b, a}."""
    modes = {"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"} & set(ins.parts)
    mode = modes.pop() if modes else ""

    def selector(c: Array, i: int) -> Array:
        low = c & np.uint32(3)
        match mode:
            case "f4e":
                return low + np.uint32(i)
            case "b4e":
                return (low - np.uint32(i)) & np.uint32(7)
            case "rc8":
                return low
            case "ecl":
                return np.maximum(low, np.uint32(i))
            case "ecr":
                return np.minimum(low, np.uint32(i))
            case "rc16":
                return ((low & np.uint32(1)) << np.uint32(1)) + np.uint32(i % 2)
        return (c >> np.uint32(4 * i)) & np.uint32(15)

    def function(a: Array, b: Array, c: Array) -> Array:
        whole = (np.asarray(b).astype(np.uint64) << np.uint64(32)) | a
        result = np.uint32(0)
        for i in range(4):
            pick = selector(np.asarray(c), i)
            byte = (whole >> (np.uint64(8) * (pick & np.uint32(7)).astype(np.uint64))) & np.uint64(0xFF)
            sign = np.where(byte >> np.uint64(7) == 1, np.uint64(0xFF), np.uint64(0))
            byte = np.where(pick & np.uint32(8) != 0, sign, byte)
            result = result | (byte << np.uint64(8 * i)).astype(np.uint32)
        return np.asarray(result)

    return d.map(function, U32, *((operand, U32) for operand in ins.operands[1:]))


@instruction("lop3")
def lookup(ins: ast.Instruction, d: Decoder) -> Op:
    """`lop3.b32 d, a, b, c, table`: any function of three bits."""
    if len(ins.parts) > 2 or not isinstance(ins.operands[4], ast.Immediate):
        raise d.unsupported(ins.opcode)
    table = int(ins.operands[4].value)

    def function(a: Array, b: Array, c: Array) -> Array:
        result = np.uint32(0)
        for i in range(8):
            if table >> i & 1:
                result = result | ((a if i & 4 else ~a) & (b if i & 2 else ~b) & (c if i & 1 else ~c))
        return np.asarray(result)

    return d.map(function, U32, *((operand, U32) for operand in ins.operands[1:4]))


def leading_zeros(a: Array) -> Array:
    """Return the number of zeros above the highest bit."""
    a = np.asarray(a)
    bits = a.dtype.itemsize * 8
    count = np.full(a.shape, bits, np.uint32)
    rest, step = a, bits // 2
    while step:
        upper = rest >> a.dtype.type(step)
        found = upper != 0
        count = np.where(found, count - np.uint32(step), count)
        rest = np.where(found, upper, rest)
        step //= 2
    return np.where(rest != 0, count - np.uint32(1), count).astype(np.uint32)


def reverse(a: Array) -> Array:
    """Return the bits in reverse order."""
    a = np.asarray(a)
    bytes_ = np.ascontiguousarray(np.atleast_1d(a)).view(np.uint8).reshape(*np.atleast_1d(a).shape, -1)
    turned = np.packbits(np.unpackbits(bytes_, axis=-1)[..., ::-1], axis=-1)
    return turned.view(a.dtype).reshape(a.shape)


@instruction("clz", "popc", "brev", "bfind")
def counting(ins: ast.Instruction, d: Decoder) -> Op:
    """`clz`, `popc` (32-bit results), `brev`, `bfind` (highest bit that is not the sign)."""
    scalar = d.types()[-1]

    def find(a: Array) -> Array:
        value = np.where(a < 0, ~a, a).astype(a.dtype).view(scalar.storage) if scalar.kind == "s" else a
        zeros = leading_zeros(value)
        position = np.uint32(scalar.bits - 1) - zeros
        return np.where(value == 0, np.uint32(0xFFFFFFFF), zeros if ins.has("shiftamt") else position).astype(
            np.uint32
        )

    functions = {"clz": leading_zeros, "popc": lambda a: np.bitwise_count(a).astype(np.uint32), "bfind": find}
    if ins.name == "brev":
        return d.map(reverse, scalar, (ins.operands[1], scalar))
    return d.map(functions[ins.name], U32, (ins.operands[1], scalar))


@instruction("bmsk")
def mask(ins: ast.Instruction, d: Decoder) -> Op:
    """`bmsk.clamp/.wrap.b32 d, a, b`: b ones from bit a on."""
    wrap = ins.has("wrap")

    def function(a: Array, b: Array) -> Array:
        start, length = np.asarray(a).astype(np.uint64), np.asarray(b).astype(np.uint64)
        if wrap:
            start, length = start & np.uint64(31), length & np.uint64(31)
        start, length = np.minimum(start, np.uint64(32)), np.minimum(length, np.uint64(32))
        ones = (np.uint64(1) << length) - np.uint64(1)
        return (ones << start).astype(np.uint32)

    return d.map(function, U32, (ins.operands[1], U32), (ins.operands[2], U32))
