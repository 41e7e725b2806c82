"""`ldmatrix`, `stmatrix`, `mma.sync`: matrices spread over the registers of a warp.

With g = lane / 4 and t = lane % 4, and e elements in a register of 32 bits, the fragments of the m16n8 shapes are:

- A (16 × k): register r holds row g + 8 (r mod 2), columns 4 e (r / 2) + e t + (0 … e-1);
- B (k × 8): register r holds column g, rows 4 e r + e t + (0 … e-1);
- C, D (16 × 8): value r holds row g + 8 (r / 2), column 2 t + r mod 2 (two values share a register in f16).

Products are summed in float64 and rounded once; hardware adds in an unspecified order with at least float32 precision.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np

from ptx import syntax as ast
from ptx.barriers import collective, full_warps
from ptx.decode import Decoder, instruction
from ptx.floats import pack
from ptx.machine import Machine, Selection
from ptx.program import Op
from ptx.rounding import FORMATS, round_to
from ptx.types import TYPES, Array, bf16_to_f32, spread

B32 = TYPES["b32"]
ELEMENT_BITS = {"f16": 16, "bf16": 16, "tf32": 32, "s8": 8, "u8": 8, "e4m3": 8, "e5m2": 8}
_LANE = np.arange(32)
_G, _T = _LANE // 4, _LANE % 4


def decode_elements(words: Array, kind: str) -> Array:
    """Split 32-bit words into their elements, low ones first, as float64: a new last axis."""
    words = np.ascontiguousarray(words, np.uint32)
    match kind:
        case "f16":
            parts = words[..., None].view(np.float16)
        case "bf16":
            parts = bf16_to_f32(words[..., None].view(np.uint16))
        case "tf32":  # the lower 13 bits do not count
            parts = (words & np.uint32(0xFFFFE000)).view(np.float32)[..., None]
        case "s8" | "u8":
            parts = words[..., None].view(np.int8 if kind == "s8" else np.uint8)
        case "e4m3":
            parts = words[..., None].view(ml_dtypes.float8_e4m3fn)
        case "e5m2":
            parts = words[..., None].view(ml_dtypes.float8_e5m2)
        case _:
            raise ValueError(f"elements of type {kind}")
    return parts.astype(np.float64)


def a_matrix(registers: list[Array], kind: str) -> Array:
    """Return the matrices A (warps × 16 × k) from registers (each warps × 32)."""
    e = 32 // ELEMENT_BITS[kind]
    result = np.empty((registers[0].shape[0], 16, 2 * e * len(registers)))
    for r, words in enumerate(registers):
        parts = decode_elements(words, kind)
        for i in range(e):
            result[:, _G + 8 * (r % 2), 4 * e * (r // 2) + e * _T + i] = parts[:, :, i]
    return result


def b_matrix(registers: list[Array], kind: str) -> Array:
    """Return the matrices B (warps × k × 8)."""
    e = 32 // ELEMENT_BITS[kind]
    result = np.empty((registers[0].shape[0], 4 * e * len(registers), 8))
    for r, words in enumerate(registers):
        parts = decode_elements(words, kind)
        for i in range(e):
            result[:, 4 * e * r + e * _T + i, _G] = parts[:, :, i]
    return result


def c_matrix(values: list[Array]) -> Array:
    """Return the matrices C (warps × 16 × 8) from values (each warps × 32)."""
    result = np.empty((values[0].shape[0], 16, 8), values[0].dtype)
    for r, value in enumerate(values):
        result[:, _G + 8 * (r // 2), 2 * _T + r % 2] = value
    return result


def c_values(matrix: Array) -> list[Array]:
    """Return the four values per lane of matrices D."""
    return [matrix[:, _G + 8 * (r // 2), 2 * _T + r % 2] for r in range(4)]


def vector_items(operand: ast.Operand) -> tuple[ast.Operand, ...]:
    """Return the registers of an operand in braces, or of a single one."""
    return operand.items if isinstance(operand, ast.Vector) else (operand,)


@instruction("mma", control=True)
def multiply_accumulate(ins: ast.Instruction, d: Decoder) -> Op:
    """`mma.sync.aligned.shape.row.col.dtype.atype.btype.ctype d, a, b, c`."""
    shape = next((p for p in ins.parts if p.startswith("m16n8k")), None)
    result, first, second, addend = ins.parts[-4:]
    if shape is None or ins.parts[4:6] != ("row", "col") or not {first, second} <= set(ELEMENT_BITS):
        raise d.unsupported(ins.opcode)
    k = int(shape[6:])
    integer = result == "s32"
    registers = [[d.source(o, B32) for o in vector_items(operand)] for operand in ins.operands[1:]]
    counts = [len(r) for r in registers]
    e = 32 // ELEMENT_BITS[first]
    if counts[0] * 2 * e != k or counts[1] * 4 * e != k:
        raise d.unsupported(f"{ins.opcode} with {counts[0]} and {counts[1]} registers")
    half_c, half_d = addend == "f16", result == "f16"
    writes = [d.destination(o, B32) for o in vector_items(ins.operands[0])]
    if counts[2] != (2 if half_c else 4) or len(writes) != (2 if half_d else 4):
        raise d.unsupported(f"{ins.opcode} with {counts[2]} and {len(writes)} accumulators")
    clamp = ins.has("satfinite")

    def body(m: Machine, s: Selection) -> None:
        rows = full_warps(m, ins, s)
        a, b, c = (
            [spread(read(m, s), rows.size).reshape(rows.shape) for read in reads] for reads in registers
        )
        product = a_matrix(a, first) @ b_matrix(b, second)
        if integer:
            total = product.astype(np.int64) + c_matrix([v.view(np.int32) for v in c])
            total = np.clip(total, -(2**31), 2**31 - 1) if clamp else total
            outputs = [(v & 0xFFFFFFFF).astype(np.uint32) for v in c_values(total)]
        else:
            if half_c:
                pairs = [np.ascontiguousarray(v)[..., None].view(np.float16) for v in c]
                values = [pairs[i // 2][..., i % 2] for i in range(4)]
            else:
                values = [v.view(np.float32) for v in c]
            total = product + c_matrix(values)
            outputs = pack_results(c_values(total), half_d)
        for write, value in zip(writes, outputs):
            write(m, s, value.reshape(-1))

    return collective(d, body)


def pack_results(values: list[Array], half: bool) -> list[Array]:
    """Round float64 accumulators to float32, or to pairs of f16, as 32-bit words."""
    if not half:
        return [v.astype(np.float32).view(np.uint32) for v in values]
    bits = [pack(round_to(v, FORMATS["f16"]), "f16").astype(np.uint32) for v in values]
    return [bits[i] | bits[i + 1] << np.uint32(16) for i in range(0, len(bits), 2)]


def matrix_count(ins: ast.Instruction, d: Decoder) -> int:
    """Return how many 8 × 8 matrices an `ldmatrix` or `stmatrix` moves."""
    count = next((int(p[1]) for p in ins.parts if p in ("x1", "x2", "x4")), 0)
    if not count or not ins.has("m8n8") or not ins.has("b16"):
        raise d.unsupported(ins.opcode)
    return count


def transposed(words: Array) -> Array:
    """Transpose 8 × 8 matrices of 16-bit elements, given and returned as (…, 8 rows, 4 words)."""
    elements = np.ascontiguousarray(words).view(np.uint16)
    return np.ascontiguousarray(np.swapaxes(elements, -1, -2)).view(np.uint32)


@instruction("ldmatrix", control=True)
def load_matrix(ins: ast.Instruction, d: Decoder) -> Op:
    """`ldmatrix.sync.aligned.m8n8.x4{.trans}.shared.b16 {…}, [a]`: lane 8 i + j holds the address of row j of matrix i."""
    count = matrix_count(ins, d)
    writes = [d.destination(o, B32) for o in vector_items(ins.operands[0])]
    space, address = d.space(ins.operands[1]), d.address(ins.operands[1])
    turn = ins.has("trans")
    if len(writes) != count:
        raise d.unsupported(f"{ins.opcode} with {len(writes)} registers")

    def body(m: Machine, s: Selection) -> None:
        rows = full_warps(m, ins, s)
        where = address(m, s).reshape(rows.shape)[:, : 8 * count].reshape(-1)
        words = m.load(ins, rows[:, : 8 * count].reshape(-1), space, where, 4, 4)
        matrices = np.stack(words, -1).reshape(rows.shape[0], count, 8, 4)
        if turn:
            matrices = transposed(matrices)
        for i, write in enumerate(writes):
            write(m, s, matrices[:, i, _G, _T].reshape(-1))

    return collective(d, body)


@instruction("stmatrix", control=True)
def store_matrix(ins: ast.Instruction, d: Decoder) -> Op:
    """`stmatrix.sync.aligned.m8n8.x4{.trans}.shared.b16 [a], {…}`: the reverse of `ldmatrix`."""
    count = matrix_count(ins, d)
    space, address = d.space(ins.operands[0]), d.address(ins.operands[0])
    reads = [d.source(o, B32) for o in vector_items(ins.operands[1])]
    turn = ins.has("trans")

    def body(m: Machine, s: Selection) -> None:
        rows = full_warps(m, ins, s)
        matrices = np.empty((rows.shape[0], count, 8, 4), np.uint32)
        for i, read in enumerate(reads):
            matrices[:, i, _G, _T] = spread(read(m, s), rows.size).reshape(rows.shape)
        if turn:
            matrices = transposed(matrices)
        where = address(m, s).reshape(rows.shape)[:, : 8 * count].reshape(-1)
        words = matrices.reshape(-1, 4)
        lanes = rows[:, : 8 * count].reshape(-1)
        m.store(ins, lanes, space, where, 4, [words[:, i] for i in range(4)])

    return collective(d, body)
