"""What the threads of a warp do together: shuffles, votes, matches, reductions."""

from __future__ import annotations

import numpy as np

from ptx import syntax as ast
from ptx.barriers import collective, warp_bits
from ptx.decode import Decoder, instruction
from ptx.errors import Divergence
from ptx.machine import Machine, Selection
from ptx.program import Op
from ptx.types import TYPES, Array, spread

U32, PRED = TYPES["u32"], TYPES["pred"]


def present(m: Machine, s: Selection) -> Array:
    """Return a flag per lane of the machine: whether it is in the selection."""
    flags = np.zeros(m.count, bool)
    flags[s] = True
    return flags


def bits_per_lane(m: Machine, flags: Array, s: Selection) -> Array:
    """Return for each lane of a selection the flags of its warp as a mask."""
    return warp_bits(flags.reshape(-1, 32))[m.warp_of[s]]


@instruction("shfl", control=True)
def shuffle(ins: ast.Instruction, d: Decoder) -> Op:
    """`shfl.sync.mode.b32 d{|p}, a, b, c, mask`."""
    if not ins.has("sync"):
        raise d.unsupported(ins.opcode)
    mode = next(p for p in ins.parts if p in ("up", "down", "bfly", "idx"))
    target = ins.operands[0]
    first, second = (target.first, target.second) if isinstance(target, ast.Pair) else (target, None)
    write = d.destination(first, TYPES["b32"])
    inside = d.destination(second, PRED) if second is not None else None
    a, b, c = (d.source(o, TYPES["b32"]) for o in ins.operands[1:4])

    def body(m: Machine, s: Selection) -> None:
        lane = m.special["%laneid"][s].astype(np.int64)
        offset = np.asarray(b(m, s)).astype(np.int64) & 31
        control = np.asarray(c(m, s)).astype(np.int64)
        clamp, segment = control & 31, control >> 8 & 31
        low = lane & segment
        high = low | (clamp & ~segment & 31)
        match mode:
            case "up":
                source, good = lane - offset, lane - offset >= high
            case "down":
                source, good = lane + offset, lane + offset <= high
            case "bfly":
                source, good = lane ^ offset, (lane ^ offset) <= high
            case _:
                source = low | (offset & ~segment)
                good = source <= high
        source = np.where(good, source, lane) + m.warp_of[s] * 32
        flags = present(m, s)
        if not flags[source].all():
            position = int(np.argmin(flags[source]))
            m.fail(
                Divergence,
                ins,
                s,
                position,
                f"reads lane {int(source[position]) % 32}, which does not take part",
            )
        values = np.zeros(m.count, np.uint32)
        values[s] = a(m, s)
        write(m, s, values[source])
        if inside is not None:
            inside(m, s, np.broadcast_to(good, lane.shape))

    return collective(d, body, d.source(ins.operands[4], U32))


@instruction("vote", control=True)
def vote(ins: ast.Instruction, d: Decoder) -> Op:
    """`vote.sync.all/.any/.uni.pred p, a, mask` and `vote.sync.ballot.b32 d, a, mask`."""
    if not ins.has("sync"):
        raise d.unsupported(ins.opcode)
    mode = ins.parts[2]
    write = d.destination(ins.operands[0], TYPES["b32"] if mode == "ballot" else PRED)
    read = d.source(ins.operands[1], PRED)

    def body(m: Machine, s: Selection) -> None:
        flags = np.zeros(m.count, bool)
        flags[s] = read(m, s)
        mask = masks(m, s) & bits_per_lane(m, present(m, s), s)
        yes = bits_per_lane(m, flags, s) & mask
        match mode:
            case "ballot":
                write(m, s, yes)
            case "any":
                write(m, s, yes != 0)
            case "all":
                write(m, s, yes == mask)
            case "uni":
                write(m, s, (yes == mask) | (yes == 0))

    masks = d.source(ins.operands[2], U32)
    return collective(d, body, masks)


@instruction("activemask")
def active(ins: ast.Instruction, d: Decoder) -> Op:
    """`activemask.b32 d`: the lanes that execute this together now, which need not be all that could."""
    write = d.destination(ins.operands[0], U32)
    return lambda m, s: write(m, s, bits_per_lane(m, present(m, s), s))


@instruction("match", control=True)
def match_values(ins: ast.Instruction, d: Decoder) -> Op:
    """`match.any.sync.b32 d, a, mask` and `match.all.sync.b32 d{|p}, a, mask`."""
    scalar = d.types()[-1]
    everyone = ins.has("all")
    target = ins.operands[0]
    first, second = (target.first, target.second) if isinstance(target, ast.Pair) else (target, None)
    write = d.destination(first, U32)
    agreed = d.destination(second, PRED) if second is not None else None
    read, masks = d.source(ins.operands[1], scalar), d.source(ins.operands[2], U32)

    def body(m: Machine, s: Selection) -> None:
        lanes = m.lanes[s]
        values = np.zeros(m.count, scalar.storage)
        values[lanes] = read(m, s)
        mask = spread(masks(m, s), lanes.size) & bits_per_lane(m, present(m, s), s)
        rows = values.reshape(-1, 32)[m.warp_of[lanes]]
        equal = warp_bits(rows == values[lanes][:, None]) & mask
        if everyone:
            all_equal = equal == mask
            write(m, s, np.where(all_equal, mask, np.uint32(0)))
            if agreed is not None:
                agreed(m, s, all_equal)
        else:
            write(m, s, equal)

    return collective(d, body, masks)


_REDUCTIONS = {
    "add": np.add,
    "min": np.minimum,
    "max": np.maximum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}


@instruction("redux", control=True)
def reduce(ins: ast.Instruction, d: Decoder) -> Op:
    """`redux.sync.op.type d, a, mask`."""
    scalar = d.types()[-1]
    if scalar.kind == "f":
        raise d.unsupported(ins.opcode)
    function = _REDUCTIONS[ins.parts[2]]
    write, read = d.destination(ins.operands[0], scalar), d.source(ins.operands[1], scalar)
    masks = d.source(ins.operands[2], U32)

    def body(m: Machine, s: Selection) -> None:
        lanes = m.lanes[s]
        values = spread(read(m, s), lanes.size)
        mask = spread(masks(m, s), lanes.size)
        # Lanes with the same warp and mask form one set.
        keys = (m.warp_of[lanes].astype(np.uint64) << np.uint64(32)) | mask
        result = np.empty(lanes.size, scalar.dtype)
        for key in np.unique(keys):
            chosen = keys == key
            result[chosen] = function.reduce(values[chosen], dtype=scalar.dtype)
        write(m, s, result)

    return collective(d, body, masks)


@instruction("elect", control=True)
def elect(ins: ast.Instruction, d: Decoder) -> Op:
    """`elect.sync d|p, mask`: one lane of the mask is chosen, the same one each time: the lowest."""
    target = ins.operands[0]
    assert isinstance(target, ast.Pair)
    write, chosen = d.destination(target.first, U32), d.destination(target.second, PRED)
    masks = d.source(ins.operands[1], U32)

    def body(m: Machine, s: Selection) -> None:
        lanes = m.lanes[s]
        keys = (m.warp_of[lanes].astype(np.uint64) << np.uint64(32)) | spread(masks(m, s), lanes.size)
        leader = np.empty(lanes.size, np.uint32)
        for key in np.unique(keys):
            members = np.flatnonzero(keys == key)
            leader[members] = lanes[members[0]] % 32
        write(m, s, leader)
        chosen(m, s, leader == lanes % 32)

    return collective(d, body, masks)
