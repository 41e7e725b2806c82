"""mbarrier objects: arrivals and bytes of copies complete a phase, threads wait for it.

The object's 64 bits are opaque to programs; here they are kept beside shared memory.  A token (`state`) is the number of
the phase, a parity its last bit: waiting for parity p succeeds while the current phase has the other parity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ptx import syntax as ast
from ptx.asynchronous import Arrival
from ptx.decode import Decoder, Source, instruction
from ptx.errors import BadOperand
from ptx.machine import RUNNING, Machine, Selection
from ptx.memory import WINDOW_SHIFT
from ptx.program import Op
from ptx.types import TYPES, spread

U32 = TYPES["u32"]
MOST = (1 << 20) - 1


@dataclass
class Mbarrier:
    """The state of an mbarrier: arrivals per phase, arrivals and bytes that this phase still expects, its number."""

    count: int
    pending: int
    bytes: int = 0
    phase: int = 0


class Mbarriers:
    """The mbarriers of a machine, by (block, offset in shared memory)."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.state: dict[tuple[int, int], Mbarrier] = {}
        self.waiting: dict[tuple[int, int], list[np.ndarray]] = {}

    def get(self, ins: ast.Instruction, lanes: np.ndarray, key: tuple[int, int]) -> Mbarrier:
        """Return an mbarrier that has been initialised."""
        if key not in self.state:
            self.machine.fail(
                BadOperand, ins, lanes, 0, f"no mbarrier was initialised at shared address {key[1]:#x}"
            )
        return self.state[key]

    def init(self, ins: ast.Instruction, lanes: np.ndarray, key: tuple[int, int], count: int) -> None:
        """Make an mbarrier for `count` arrivals per phase."""
        if key in self.state:
            self.machine.fail(BadOperand, ins, lanes, 0, f"the mbarrier at {key[1]:#x} is initialised twice")
        if not 1 <= count <= MOST:
            self.machine.fail(BadOperand, ins, lanes, 0, f"an mbarrier for {count} arrivals")
        self.state[key] = Mbarrier(count, count)

    def arrive(self, ins: ast.Instruction, lanes: np.ndarray, key: tuple[int, int], count: int = 1) -> None:
        """Count arrivals; complete the phase if nothing is left."""
        barrier = self.get(ins, lanes, key)
        if count > barrier.pending:
            self.machine.fail(
                BadOperand,
                ins,
                lanes,
                0,
                f"{count} arrivals at an mbarrier that expects {barrier.pending} more in this phase",
            )
        if self.machine.races is not None:
            self.machine.races.release(key, lanes)
        barrier.pending -= count
        self.check(key)

    def expect(self, ins: ast.Instruction, lanes: np.ndarray, key: tuple[int, int], count: int) -> None:
        """Expect more bytes in this phase."""
        barrier = self.get(ins, lanes, key)
        barrier.bytes += count
        if abs(barrier.bytes) > MOST:
            self.machine.fail(
                BadOperand, ins, lanes, 0, f"{barrier.bytes} bytes are more than an mbarrier can count"
            )

    def transfer(self, key: tuple[int, int], count: int) -> None:
        """Count bytes that a copy has brought."""
        if key in self.state:
            self.state[key].bytes -= count
            self.check(key)

    def check(self, key: tuple[int, int]) -> None:
        """Begin the next phase if this one is complete, and let its waiters go on."""
        barrier = self.state[key]
        if barrier.pending or barrier.bytes:
            return
        barrier.phase += 1
        barrier.pending = barrier.count
        if self.machine.races is not None:
            self.machine.races.phase(key)
        for lanes in self.waiting.pop(key, []):
            self.machine.status[lanes] = RUNNING


def keys(
    m: Machine, ins: ast.Instruction, s: Selection, address: np.ndarray
) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Group the lanes of a selection by the mbarrier at their address: ((block, offset), positions)."""
    low = address & np.uint64((1 << WINDOW_SHIFT) - 1)
    _, index = m.place(ins, s, "shared", low, 8, False)
    for at in np.unique(index):
        block, offset = divmod(int(at), m.shared_stride)
        yield (block, offset), np.flatnonzero(index == at)


@instruction("mbarrier", control=True)
def mbarrier(ins: ast.Instruction, d: Decoder) -> Op:
    """`mbarrier.init`, `.inval`, `.arrive{.expect_tx}`, `.expect_tx`, `.complete_tx`, `.test_wait`, `.try_wait`."""
    kind = ins.parts[1]
    if kind in ("test_wait", "try_wait"):
        return wait(ins, d, kind == "try_wait")
    if kind not in ("init", "inval", "arrive", "arrive_drop", "expect_tx", "complete_tx") or ins.has(
        "noComplete"
    ):
        raise d.unsupported(ins.opcode)
    has_token = not isinstance(ins.operands[0], ast.Address)
    token = d.destination(ins.operands[0], TYPES["b64"]) if has_token else None
    address = d.address(ins.operands[1 if has_token else 0])
    rest = ins.operands[2 if has_token else 1 :]
    number = d.source(rest[0], U32) if rest else None

    def run(m: Machine, s: Selection) -> None:
        lanes = m.lanes[s]
        values = spread(number(m, s) if number is not None else np.uint32(1), lanes.size)
        for key, positions in keys(m, ins, s, address(m, s)):
            mine = lanes[positions]
            if kind == "init":
                m.touch_shared(ins, mine[:1], np.array([key[0] * m.shared_stride + key[1]]), 8, True)
            for lane, value in zip(mine, values[positions]):
                one = np.array([lane])
                phase = m.mbarriers.state[key].phase if key in m.mbarriers.state else 0
                act(m, ins, kind, one, key, int(value))
                if token is not None:
                    token(m, one, np.uint64(phase))  # type: ignore[arg-type]

    return run


def act(
    m: Machine, ins: ast.Instruction, kind: str, lane: np.ndarray, key: tuple[int, int], value: int
) -> None:
    """Perform one thread's operation on an mbarrier."""
    barriers = m.mbarriers
    match kind:
        case "init":
            barriers.init(ins, lane, key, value)
        case "inval":
            barriers.get(ins, lane, key)
            del barriers.state[key]
        case "arrive" if ins.has("expect_tx"):
            barriers.expect(ins, lane, key, value)
            barriers.arrive(ins, lane, key)
        case "arrive":
            barriers.arrive(ins, lane, key, value)
        case "arrive_drop":
            barriers.get(ins, lane, key).count -= 1
            barriers.arrive(ins, lane, key)
        case "expect_tx":
            barriers.expect(ins, lane, key, value)
        case "complete_tx":
            barriers.get(ins, lane, key)
            barriers.transfer(key, value)


def wait(ins: ast.Instruction, d: Decoder, blocking: bool) -> Op:
    """`test_wait` answers at once; `try_wait` suspends until the phase is complete.

    In the adversarial mode `try_wait` at times gives up early, as it may.
    """
    answer = d.destination(ins.operands[0], TYPES["pred"])
    address = d.address(ins.operands[1])
    parity = ins.has("parity")
    wanted: Source = d.source(ins.operands[2], U32 if parity else TYPES["b64"])
    pc = d.pc

    def run(m: Machine, s: Selection) -> int | None:
        lanes = m.lanes[s]
        values = spread(wanted(m, s), lanes.size)
        done = np.zeros(lanes.size, bool)
        stuck = np.zeros(lanes.size, bool)
        for key, positions in keys(m, ins, s, address(m, s)):
            if parity and (values[positions] > 1).any():
                m.fail(
                    BadOperand,
                    ins,
                    s,
                    int(positions[np.argmax(values[positions])]),
                    f"parity {values[positions].max()}",
                )
            barrier = m.mbarriers.get(ins, lanes[positions], key)
            good = passed(barrier, values[positions], parity)
            if not blocking and not good.all():
                # Somebody who polls makes copies land: all of them or, in the adversarial mode, at times one.
                while m.settings.seed is None and m.asynchronous.progress(key):
                    pass
                if m.settings.seed is not None and m.rng.random() < 0.5:
                    m.asynchronous.progress(key)
                good = passed(barrier, values[positions], parity)
            done[positions] = good
            if good.any() and m.races is not None:
                m.races.acquire(key, lanes[positions[good]])
            if blocking and not good.all() and not (m.settings.seed is not None and m.rng.random() < 0.1):
                stuck[positions[~good]] = True
                m.mbarriers.waiting.setdefault(key, []).append(lanes[positions[~good]])
        if not stuck.any():
            answer(m, s, done)
            return None
        free = lanes[~stuck]
        if free.size:
            answer(m, free, done[~stuck])
        m.pc[free] = pc + 1
        m.pc[lanes[stuck]] = pc
        m.wait(lanes[stuck], pc)
        return -1

    return run


def passed(barrier: Mbarrier, values: np.ndarray, parity: bool) -> np.ndarray:
    """Return whether the phase of each parity, or token, is complete."""
    return np.not_equal(barrier.phase & 1, values) if parity else barrier.phase > values.astype(np.int64)


@instruction("cp.async.mbarrier")
def arrive_after_copies(ins: ast.Instruction, d: Decoder) -> Op:
    """`cp.async.mbarrier.arrive{.noinc}.shared.b64 [a]`: arrives when the thread's earlier copies have landed."""
    address = d.address(ins.operands[0])
    counted = ins.has("noinc")

    def run(m: Machine, s: Selection) -> None:
        lanes = m.lanes[s]
        for key, positions in keys(m, ins, s, address(m, s)):
            barrier = m.mbarriers.get(ins, lanes[positions], key)
            for lane in lanes[positions]:
                if not counted:
                    barrier.pending += 1
                one = np.array([lane])
                m.asynchronous.arrivals.append(
                    Arrival(int(lane), lambda key=key, one=one: m.mbarriers.arrive(ins, one, key))
                )

    return run
