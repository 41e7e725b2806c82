"""`wgmma`: asynchronous matrix products of four warps on operands in shared memory; `setmaxnreg`.

Warp w of a warpgroup computes rows 16 w … 16 w + 15 of the 64 × N result, so each warp is executed on its own.  A product
takes place at the `wait_group` that covers it: until then its registers belong to it, and what it reads must stay.

A descriptor has the address (bits 0-13), the leading (16-29) and the stride byte offset (32-45), all in units of 16
bytes, and the swizzle (62-63: 1 is 128 bytes, 2 is 64, 3 is 32).  With rows of the swizzle's span, 8 rows make an atom:

- K-major: atoms of 8 rows follow each other at the stride offset; along k the address goes on within the row;
- MN-major: a row holds as many rows of the matrix as fit, blocks of those follow at the leading offset, and 8 values of k
  make an atom, at the stride offset.

Without a swizzle, blocks of 8 × 16 bytes lie at the leading offset along k and at the stride offset along the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptx import syntax as ast
from ptx.barriers import collective, full_warps
from ptx.decode import Decoder, instruction
from ptx.errors import BadOperand, Divergence, InFlight
from ptx.machine import Machine, Selection
from ptx.matrix import B32, ELEMENT_BITS, a_matrix, decode_elements, pack_results, vector_items
from ptx.memory import Problem
from ptx.program import Op
from ptx.syntax import operands
from ptx.tensormap import swizzled
from ptx.types import TYPES, Array

_SPAN = {0: 0, 1: 128, 2: 64, 3: 32}
_LANE = np.arange(32)


@dataclass(frozen=True)
class Operand:
    """A matrix in shared memory as a descriptor has it, of rows × k elements, relative to the block's memory."""

    start: int
    leading: int
    stride: int
    span: int

    def chunks(self, first: int, rows: int, k: int, size: int, turned: bool) -> Array:
        """Return the addresses of the 16-byte chunks of some rows: (rows, chunks of k), or MN-major (k, chunks of rows)."""
        if not turned:
            row, chunk = np.indices((rows, k * size // 16))
            row = row + first
            if self.span:
                at = row // 8 * self.stride + row % 8 * self.span + chunk * 16
            else:
                at = row // 8 * self.stride + row % 8 * 16 + chunk * self.leading
        else:
            depth, chunk = np.indices((k, rows * size // 16))
            chunk = chunk + first * size // 16
            if self.span:
                wide = self.span // 16
                at = (
                    chunk // wide * self.leading
                    + chunk % wide * 16
                    + depth % 8 * self.span
                    + depth // 8 * self.stride
                )
            else:
                at = chunk * self.stride + depth % 8 * 16 + depth // 8 * self.leading
        return swizzled(self.start + at, self.span)


def decode_descriptor(m: Machine, ins: ast.Instruction, lanes: np.ndarray, value: int) -> Operand:
    """Return what a descriptor says; an error if it says what cannot be."""
    span = _SPAN[value >> 62]
    start = (value & 0x3FFF) << 4
    if value >> 49 & 7:
        m.fail(
            BadOperand, ins, lanes, 0, f"descriptor {value:#018x} with a base offset, which is not supported"
        )
    if value >> 14 & 3 or value >> 30 & 3 or value >> 46 & 7 or value >> 52 & 0x3FF:
        m.fail(BadOperand, ins, lanes, 0, f"descriptor {value:#018x} has bits set that mean nothing")
    if span and start >> 7 & (span // 16 - 1):
        m.fail(
            BadOperand,
            ins,
            lanes,
            0,
            f"descriptor address {start:#x} is not at the start of a swizzle of {span} bytes",
        )
    return Operand(start, (value >> 16 & 0x3FFF) << 4, (value >> 32 & 0x3FFF) << 4, span)


@dataclass
class Product:
    """A product in flight: of which lanes (rows of 32), with which operands."""

    ins: ast.Instruction
    rows: np.ndarray
    group: Array
    shape: Shape
    scale: Array  # whether the accumulators count, per warp
    a: Array | None  # descriptors per warp; None if A is in registers
    b: Array


@dataclass
class Shape:
    """What the opcode and the literals of a product say, and its registers."""

    n: int
    k: int
    result: str
    first: str
    second: str
    signs: tuple[int, int]
    turned: tuple[bool, bool]
    reads_a: list
    reads_d: list
    writes_d: list
    registers: frozenset[int]
    accumulators: frozenset[int]


class Wgmma:
    """The products in flight of a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.products: list[Product] = []
        self.committed = np.zeros(machine.count // 32, np.int64)
        self.issued = np.zeros(machine.count // 32, np.int64)

    def check(self, pc: int, s: Selection) -> None:
        """Raise if an instruction touches registers that a product in flight uses."""
        m = self.machine
        ins = m.program.instructions[pc]
        touched = m.program.touched(pc)
        if not touched:
            return
        warps = np.unique(m.warp_of[s])
        for product in self.products:
            shared = (touched & product.shape.registers) - shareable(ins, product.shape)
            if not shared:
                continue
            if np.isin(m.warp_of[product.rows[:, 0]], warps).any():
                name = next(r.name for r in m.program.registers if r.index in shared)
                m.fail(
                    InFlight,
                    ins,
                    s,
                    0,
                    f"touches {name}, which the wgmma of line {product.ins.line} uses until it is waited for",
                )

    def wait(self, lanes: np.ndarray, pending: int) -> None:
        """Perform all groups of the warps but the latest `pending` ones."""
        m = self.machine
        limit = np.full(self.committed.size, -1)
        warps = np.unique(m.warp_of[lanes])
        limit[warps] = self.committed[warps] - pending
        kept = []
        for product in self.products:
            ready = product.group < limit[m.warp_of[product.rows[:, 0]]]
            if ready.any():
                perform(m, product, ready)
            if not ready.all():
                kept.append(part_of(product, ~ready))
        self.products = kept

    def finish(self) -> None:
        """At the end of a kernel, hold the warps of each warpgroup against each other."""
        per_block = self.machine.warps
        if per_block % 4 and self.issued.reshape(-1, per_block)[:, per_block // 4 * 4 :].any():
            raise Divergence(
                f"wgmma takes warpgroups of four warps; the last one of a block has {per_block % 4}"
            )
        for warp in range(self.issued.size):
            leader = warp - warp % per_block + warp % per_block // 4 * 4
            if self.issued[warp] != self.issued[leader]:
                raise Divergence(
                    f"warps {leader % per_block} and {warp % per_block} of a warpgroup executed "
                    f"{self.issued[leader]} and {self.issued[warp]} wgmma instructions"
                )


def shareable(ins: ast.Instruction, other: Shape) -> set[int]:
    """Return the registers that a product may have in common with one in flight: all sums, or parts of left factors."""
    if ins.name != "wgmma" or not ins.operands:
        return set()
    own, left = (
        {o.index for o in operands((operand,)) if isinstance(o, ast.Register)} for operand in ins.operands[:2]
    )
    sums = own if own == other.accumulators else set()
    return sums | left & (other.registers - other.accumulators)


def part_of(product: Product, chosen: Array) -> Product:
    """Return a product for some of its warps."""
    a = None if product.a is None else product.a[chosen]
    return Product(
        product.ins,
        product.rows[chosen],
        product.group[chosen],
        product.shape,
        product.scale[chosen],
        a,
        product.b[chosen],
    )


def fetch(
    m: Machine,
    ins: ast.Instruction,
    row: np.ndarray,
    value: int,
    first: int,
    rows: int,
    shape: Shape,
    which: int,
) -> Array:
    """Read rows × k elements of an operand for one warp."""
    kind = (shape.first, shape.second)[which]
    size = ELEMENT_BITS[kind] // 8
    turned = shape.turned[which]
    address = decode_descriptor(m, ins, row, value).chunks(first, rows, shape.k, size, turned)
    flat = address.reshape(-1)
    who = np.full(flat.size, row[0])
    try:
        index = m.shared_index(ins, who, flat.astype(np.uint64), 16, False)
    except Problem as problem:
        m.fail(problem.kind, ins, row, 0, f"shared memory: {problem.text}")
    m.touch_shared(ins, who, index, 16, False)
    m.check_proxy(ins, who, index, 16)
    words = np.stack(m.shared.gather(index, 4, 4), -1)
    elements = decode_elements(words, kind).reshape(*address.shape[:1], -1)
    return elements.T if turned else elements


def perform(m: Machine, product: Product, ready: Array) -> None:
    """Compute the result of a product for some of its warps."""
    shape, ins = product.shape, product.ins
    rows = product.rows[ready]
    lanes = rows.reshape(-1)
    scale = product.scale[ready]
    registers = [read(m, lanes).reshape(rows.shape) for read in shape.reads_a]
    left = a_matrix(registers, shape.first) if registers else None
    counted = scale.astype(bool)  # accumulators that do not count need not hold anything
    old = [np.zeros(rows.shape, np.uint32) for _ in shape.reads_d]
    for value, read in zip(old, shape.reads_d):
        if counted.any():
            value[counted] = read(m, rows[counted].reshape(-1)).reshape(-1, rows.shape[1])
    if shape.result == "f16":
        pairs = [np.ascontiguousarray(v)[..., None].view(np.float16) for v in old]
        values = [pairs[i // 2][..., i % 2].astype(np.float64) for i in range(2 * len(pairs))]
    else:
        values = [v.view(np.int32 if shape.result == "s32" else np.float32).astype(np.float64) for v in old]
    outputs = [np.empty(rows.shape) for _ in values]
    for i, row in enumerate(rows):
        warp = int(m.warp_of[row[0]]) % m.warps % 4
        if left is not None:
            a = left[i]
        else:
            assert product.a is not None
            a = fetch(m, ins, row, int(product.a[ready][i]), 16 * warp, 16, shape, 0)
        b = fetch(m, ins, row, int(product.b[ready][i]), 0, shape.n, shape, 1)
        total = (a * shape.signs[0]) @ (b.T * shape.signs[1])
        for j, value in enumerate(values):
            part = total[_LANE // 4 + 8 * (j // 2 % 2), 8 * (j // 4) + 2 * (_LANE % 4) + j % 2]
            outputs[j][i] = part + (value[i] if scale[i] else 0.0)
    if shape.result == "s32":
        words = [(v.astype(np.int64) & 0xFFFFFFFF).astype(np.uint32) for v in outputs]
    else:
        words = pack_results(outputs, shape.result == "f16")
    for write, word in zip(shape.writes_d, words):
        write(m, lanes, word.reshape(-1))


def flag(operand: ast.Operand, d: Decoder) -> int:
    """Return a literal operand."""
    if not isinstance(operand, ast.Immediate):
        raise d.unsupported("a literal is wanted")
    return int(operand.value)


def mma_async(ins: ast.Instruction, d: Decoder) -> Op:
    """`wgmma.mma_async.sync.aligned.m64nNkK.dtype.atype.btype d, a, b, scale-d, scale-a, scale-b{, trans-a}{, trans-b}`."""
    size = next((p for p in ins.parts if p.startswith("m64n")), "")
    result, first, second = ins.parts[-3:] if ins.parts[-1] != "satfinite" else ins.parts[-4:-1]
    n, k = (int(x) for x in size[4:].split("k"))
    if (
        not {first, second} <= set(ELEMENT_BITS)
        or k * ELEMENT_BITS[first] != 256
        or ins.has("sp", "satfinite")
    ):
        raise d.unsupported(ins.opcode)
    items = vector_items(ins.operands[0])
    if len(items) != (n // 4 if result == "f16" else n // 2):
        raise d.unsupported(f"{ins.opcode} with {len(items)} accumulators")
    in_registers = isinstance(ins.operands[1], ast.Vector)
    a_items = vector_items(ins.operands[1]) if in_registers else ()
    wide = TYPES["b64"]
    descriptor_a = None if in_registers else d.source(ins.operands[1], wide)
    descriptor_b = d.source(ins.operands[2], wide)
    flags = [flag(o, d) for o in ins.operands[4:]]
    signs = (flags[0], flags[1]) if len(flags) >= 2 else (1, 1)
    rest = [bool(f) for f in flags[2:]]
    turned = (
        (False, rest[0] if rest else False)
        if in_registers
        else ((rest[0], rest[1]) if len(rest) == 2 else (False, False))
    )
    if any(turned) and ELEMENT_BITS[first] != 16:
        raise d.unsupported(f"{ins.opcode}: only 16-bit operands may be transposed")
    scale = d.source(ins.operands[3], TYPES["pred"])
    accumulators = frozenset(o.index for o in operands(items) if isinstance(o, ast.Register))
    registers = accumulators | {o.index for o in operands(a_items) if isinstance(o, ast.Register)}
    shape = Shape(
        n, k, result, first, second, signs, turned, [d.source(o, B32) for o in a_items],
        [d.source(o, B32) for o in items], [d.destination(o, B32) for o in items], frozenset(registers), accumulators,
    )  # fmt: skip

    def body(m: Machine, s: Selection) -> None:
        rows = full_warps(m, ins, s)
        warps = m.warp_of[rows[:, 0]]
        state = m.wgmma
        counts = np.broadcast_to(scale(m, s), rows.size).reshape(rows.shape)[:, 0]
        b = uniform(m, ins, rows, descriptor_b(m, s))
        a = None if descriptor_a is None else uniform(m, ins, rows, descriptor_a(m, s))
        product = Product(ins, rows, state.committed[warps].copy(), shape, counts.copy(), a, b)
        for i, row in enumerate(rows):  # what it reads has to be there now, and still when it is performed
            if a is not None:
                fetch(m, ins, row, int(a[i]), 16 * (int(warps[i]) % m.warps % 4), 16, shape, 0)
            fetch(m, ins, row, int(b[i]), 0, n, shape, 1)
        state.issued[warps] += 1
        state.products.append(product)

    return collective(d, body)


def uniform(m: Machine, ins: ast.Instruction, rows: np.ndarray, values: Array) -> Array:
    """Return one value per warp, which all its lanes must have."""
    table = np.broadcast_to(values, rows.size).reshape(rows.shape)
    same = (table == table[:, :1]).all(1)
    if not same.all():
        m.fail(
            BadOperand,
            ins,
            rows[int(np.argmin(same))],
            0,
            "the descriptor is not the same in all threads of the warp",
        )
    return table[:, 0].copy()


@instruction("wgmma", control=True)
def wgmma(ins: ast.Instruction, d: Decoder) -> Op:
    """`wgmma.mma_async`, `.fence`, `.commit_group`, `.wait_group`."""
    match ins.parts[1]:
        case "mma_async":
            return mma_async(ins, d)
        case "fence":
            return collective(d, lambda m, s: None)
        case "commit_group":

            def commit(m: Machine, s: Selection) -> None:
                m.wgmma.committed[np.unique(m.warp_of[s])] += 1

            return collective(d, commit)
        case "wait_group":
            pending = flag(ins.operands[0], d)
            return collective(d, lambda m, s: m.wgmma.wait(m.lanes[s], pending))
    raise d.unsupported(ins.opcode)


@instruction("setmaxnreg", control=True)
def set_registers(ins: ast.Instruction, d: Decoder) -> Op:
    """`setmaxnreg.inc/.dec.sync.aligned.u32 n`: checked, without effect."""
    count = flag(ins.operands[0], d)
    if count % 8 or not 24 <= count <= 256:
        raise d.unsupported(f"setmaxnreg takes a multiple of 8 from 24 to 256, not {count}")
    return collective(d, lambda m, s: None)
