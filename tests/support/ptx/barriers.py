"""Waiting for others: warps that assemble at an instruction, and the barriers of a block and of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ptx import syntax as ast
from ptx.decode import Decoder, Source, instruction
from ptx.errors import BadOperand, Divergence
from ptx.machine import EXITED, RUNNING, Machine, Selection
from ptx.program import Op
from ptx.types import TYPES, Array, spread

FULL = np.uint32(0xFFFFFFFF)


def warp_bits(flags: Array) -> Array:
    """Return one uint32 per row of 32 flags."""
    return np.packbits(flags, axis=1, bitorder="little").view(np.uint32).reshape(-1)


def assemble(m: Machine, pc: int, s: Selection, masks: Array | None) -> Selection | None:
    """Wait until all live lanes of a warp (of each lane's mask) stand at an instruction; return those that are ready.

    Lanes that have to wait are parked; they come back with the lane that completes their set.
    """
    if (isinstance(s, slice) and s.start % 32 == 0 and s.stop % 32 == 0) or m.whole(s):
        return s
    lanes = m.lanes[s]
    m.parked[lanes] = pc
    m.pc[lanes] = pc
    m.members[lanes] = FULL if masks is None else masks
    warps = np.unique(m.warp_of[lanes])
    here = m.parked.reshape(-1, 32)[warps] == pc
    live = m.status.reshape(-1, 32)[warps] != EXITED
    missing = (warp_bits(live) & ~warp_bits(here))[:, None]
    ready = here & (m.members.reshape(-1, 32)[warps] & missing == 0)
    everyone = m.lanes.reshape(-1, 32)[warps]
    m.wait(everyone[here & ~ready], pc)
    chosen = everyone[ready]
    if not chosen.size:
        return None
    m.parked[chosen] = -1
    m.status[chosen] = RUNNING
    return s if chosen.size == lanes.size and np.array_equal(chosen, lanes) else chosen


def collective(d: Decoder, body: Callable[[Machine, Selection], None], masks: Source | None = None) -> Op:
    """Return the closure of an instruction that the lanes of a warp execute together."""
    ins, pc = d.ins, d.pc

    def run(m: Machine, s: Selection) -> int | None:
        mask = None
        if masks is not None:
            mask = spread(masks(m, s), m.lanes[s].size)
            inside = (mask >> m.special["%laneid"][s]) & np.uint32(1)
            if not inside.all():
                position = int(np.argmin(inside))
                m.fail(
                    Divergence,
                    ins,
                    s,
                    position,
                    f"the mask {int(mask[position]):#010x} leaves out the thread itself",
                )
        group = assemble(m, pc, s, mask)
        if group is None:
            return -1
        body(m, group)
        if group is s:
            return None
        m.pc[group] = pc + 1
        return -1

    return run


def full_warps(m: Machine, ins: ast.Instruction, s: Selection) -> np.ndarray:
    """Return the lanes of a selection as rows of 32; an error unless it consists of complete warps."""
    lanes = m.lanes[s]
    if lanes.size % 32 or (lanes[::32] % 32).any() or (np.diff(lanes.reshape(-1, 32), axis=1) != 1).any():
        m.fail(Divergence, ins, s, 0, "all 32 threads of a warp have to execute this, and some have exited")
    return lanes.reshape(-1, 32)


@dataclass
class Barrier:
    """One of the sixteen barriers of a block: who has arrived since it was last completed."""

    expected: int | None = None
    arrived: int = 0
    waiting: list[np.ndarray] = field(default_factory=list)
    joined: list[np.ndarray] = field(default_factory=list)
    values: list[Array] = field(default_factory=list)
    results: list[Callable[[Machine, np.ndarray, Array], None] | None] = field(default_factory=list)


class Barriers:
    """The barriers of all blocks of a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.state: dict[tuple[int, int], Barrier] = {}
        self.clusters: dict[int, list] = {}

    def arrive(self, ins, lanes, number: int, count: int | None, wait: bool, value=None, result=None) -> None:
        """Let whole warps of one block arrive; `result` receives the reduction of `value` when all have."""
        m = self.machine
        block = int(m.block_of[lanes[0]])
        if not 0 <= number < 16:
            m.fail(BadOperand, ins, lanes, 0, f"there are barriers 0 to 15, not {number}")
        if count is not None and (count % 32 or count <= 0):
            m.fail(BadOperand, ins, lanes, 0, f"a barrier takes a multiple of 32 threads, not {count}")
        barrier = self.state.setdefault((block, number), Barrier(count))
        if barrier.expected != count:
            m.fail(
                BadOperand,
                ins,
                lanes,
                0,
                f"barrier {number} is used for {barrier.expected} threads and for {count}",
            )
        barrier.arrived += lanes.size if count is None else 32 * np.unique(m.warp_of[lanes]).size
        barrier.joined.append(lanes)
        if value is not None:
            barrier.values.append(value)
        if count is not None and barrier.arrived > count:
            m.fail(
                BadOperand,
                ins,
                lanes,
                0,
                f"{barrier.arrived} threads arrive at barrier {number}, which is for {count}",
            )
        if wait:
            barrier.waiting.append(lanes)
            barrier.results.append(result)
        self.complete(block, number)

    def complete(self, block: int, number: int) -> None:
        """Release a barrier if all that it is for have arrived."""
        m = self.machine
        barrier = self.state[block, number]
        inside = slice(block * m.width, (block + 1) * m.width)
        expected = barrier.expected
        if expected is None:
            expected = int((m.status[inside] != EXITED).sum())
        if barrier.arrived < expected or not barrier.arrived:
            return
        del self.state[block, number]
        if m.races is not None:
            m.races.join(
                np.concatenate(barrier.joined), np.concatenate(barrier.waiting or [np.zeros(0, np.int64)])
            )
        values = np.concatenate(barrier.values) if barrier.values else np.zeros(0, bool)
        for lanes, result in zip(barrier.waiting, barrier.results):
            if result is not None:
                result(m, lanes, values)
            m.status[lanes] = RUNNING

    def exited(self, lanes: np.ndarray) -> None:
        """Look again at barriers for all threads of a block after some of them have exited."""
        for block in np.unique(self.machine.block_of[lanes]):
            for number in [n for b, n in self.state if b == block]:
                self.complete(int(block), number)

    def idle(self, blocks: Array, number: int) -> bool:
        """Whether nobody has arrived at a barrier of these blocks."""
        return not self.state or not any((int(b), number) in self.state for b in blocks)


@instruction("bar", "barrier", control=True)
def barrier(ins: ast.Instruction, d: Decoder) -> Op:
    """`bar.sync a{, b}`, `bar.arrive a, b`, `bar.red`, `bar.warp.sync mask`, `barrier.cluster`."""
    if ins.has("warp"):
        masks = d.source(ins.operands[0], TYPES["b32"])
        return collective(d, synchronise, masks)
    if ins.has("cluster"):
        return cluster_barrier(ins, d)
    reduction = next((p for p in ins.parts if p in ("popc", "and", "or")), None) if ins.has("red") else None
    at = 1 if reduction else 0
    u32 = TYPES["u32"]
    number = d.source(ins.operands[at], u32)
    rest = ins.operands[at + 1 :]
    predicate = d.source(rest.pop(), TYPES["pred"]) if reduction else None
    count = d.source(rest[0], u32) if rest else None
    result = reduce_predicates(ins, d, reduction) if reduction else None
    wait = not ins.has("arrive")
    pc = d.pc

    def run(m: Machine, s: Selection) -> int | None:
        group = assemble(m, pc, s, None)
        if group is None:
            return -1
        lanes = m.lanes[group]
        numbers = spread(number(m, group), lanes.size)
        blocks = np.unique(m.block_of[lanes])
        same = int(numbers[0])
        if (
            count is None
            and result is None
            and wait
            and m.whole(group)
            and (numbers == same).all()
            and same < 16
        ):
            if m.barriers.idle(blocks, same):
                if m.races is not None:
                    for block in blocks:
                        inside = lanes[m.block_of[lanes] == block]
                        m.races.join(inside, inside)
                return go_on(m, group, s, pc)
        counts = None if count is None else spread(count(m, group), lanes.size)
        m.pc[lanes] = pc + 1
        if wait:
            m.wait(lanes, pc)
        values = None if predicate is None else np.broadcast_to(predicate(m, group), lanes.shape)
        for block in blocks:
            inside = m.block_of[lanes] == block
            for each in np.unique(numbers[inside]):
                chosen = inside & (numbers == each)
                size = None if counts is None else int(counts[chosen][0])
                value = None if values is None else values[chosen]
                m.barriers.arrive(ins, lanes[chosen], int(each), size, wait, value, result)
        return -1

    return run


def synchronise(m: Machine, s: Selection) -> None:
    """Order what the threads of a warp do before and after."""
    if m.races is not None:
        m.races.synchronise(m.lanes[s])


def go_on(m: Machine, group: Selection, s: Selection, pc: int) -> int | None:
    """Continue after an instruction with the group that executed it."""
    if group is s:
        return None
    m.pc[group] = pc + 1
    return -1


def reduce_predicates(
    ins: ast.Instruction, d: Decoder, kind: str
) -> Callable[[Machine, np.ndarray, Array], None]:
    """Return what writes the reduction of all threads' predicates."""
    write = d.destination(ins.operands[0], TYPES["u32" if kind == "popc" else "pred"])

    def result(m: Machine, lanes: np.ndarray, values: Array) -> None:
        value = {
            "popc": np.uint32(values.sum()),
            "and": np.bool_(values.all()),
            "or": np.bool_(values.any()),
        }[kind]
        write(m, lanes, value)  # type: ignore[arg-type]

    return result


def cluster_barrier(ins: ast.Instruction, d: Decoder) -> Op:
    """`barrier.cluster.arrive` and `.wait`, over all live threads of the blocks of a cluster."""
    pc, arrives = d.pc, ins.has("arrive")

    def run(m: Machine, s: Selection) -> int | None:
        group = assemble(m, pc, s, None)
        if group is None:
            return -1
        lanes = m.lanes[group]
        size = int(np.prod(m.settings.cluster))
        cluster_of = m.block_of // size
        m.pc[lanes] = pc + 1
        for cluster in np.unique(cluster_of[lanes]):
            mine = lanes[cluster_of[lanes] == cluster]
            arrived, waiting = m.barriers.clusters.setdefault(int(cluster), [set(), []])
            if arrives:
                if arrived & set(mine.tolist()):
                    m.fail(
                        BadOperand,
                        ins,
                        mine,
                        0,
                        "arrives twice at the barrier of the cluster without waiting",
                    )
                arrived |= set(mine.tolist())
            else:
                waiting.append(mine)
                m.wait(mine, pc)
            live = int(((cluster_of == cluster) & (m.status != EXITED)).sum())
            if len(arrived) >= live and sum(w.size for w in waiting) >= live:
                everyone = np.concatenate(waiting)
                if m.races is not None:
                    m.races.join(everyone, everyone)
                m.status[everyone] = RUNNING
                m.barriers.clusters[int(cluster)] = [set(), []]
        return -1

    return run
