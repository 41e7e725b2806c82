"""Asynchronous copies: what was issued and has not landed yet.

A copy lands as late as the program allows: at the wait of its own thread, or when threads wait for the mbarrier that it
reports to.  From its issue until then the destination holds poison and belongs to the copy: reading or overwriting it is
an error.  The source is read when the copy lands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ptx import syntax as ast
from ptx.errors import InFlight
from ptx.machine import FLYING, WRITTEN, Machine
from ptx.memory import POISON, Segment
from ptx.types import Array


@dataclass
class Batch:
    """Copies of some lanes, of one instruction: bytes from one segment into shared memory, zeros behind `filled`."""

    ins: ast.Instruction
    lanes: np.ndarray
    group: Array  # number of the lane's group that the copy belongs to
    target: Array
    source: Array
    size: int
    filled: Array

    def take(self, chosen: Array) -> Batch:
        """Return the copies of some of the lanes."""
        return Batch(self.ins, self.lanes[chosen], self.group[chosen], self.target[chosen], self.source[chosen], self.size,
                     self.filled[chosen])  # fmt: skip


@dataclass
class Arrival:
    """An arrival at an mbarrier that takes place when earlier copies of a lane have landed."""

    lane: int
    run: Callable[[], None]


@dataclass
class Transfer:
    """A bulk copy: `land` performs it and tells its mbarrier; `key` is that mbarrier, None for a bulk group."""

    ins: ast.Instruction
    key: tuple[int, int] | None
    land: Callable[[], None]
    lane: int = -1
    group: int = -1
    read: Callable[[], None] | None = None
    unread: bool = False  # whether its source is shared memory that was not read yet


class Asynchronous:
    """All copies in flight of a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.batches: list[Batch] = []
        self.committed = np.zeros(machine.count, np.int64)  # groups that each lane has closed
        self.arrivals: list[Arrival] = []
        self.transfers: list[Transfer] = []
        self.bulk_committed = np.zeros(machine.count, np.int64)

    # ---- shared memory that copies own ---------------------------------------------------------------------------
    def claim(self, ins: ast.Instruction, lanes: np.ndarray, index: Array, size: int) -> None:
        """Give bytes of shared memory to copies: poison them until they land."""
        m = self.machine
        where = index[:, None] + np.arange(size)
        flying = (m.shared_state.bytes[where] == FLYING).any(1)
        if flying.any():
            m.fail(
                InFlight,
                ins,
                lanes,
                int(np.argmax(flying)),
                "overwrites shared memory that a copy in flight writes",
            )
        if m.races is not None:
            m.races.access(ins, lanes, index, size, True)
        m.shared_state.bytes[where] = FLYING
        m.shared.bytes[where] = POISON

    def settle(self, where: Array, content: Array, state: int) -> None:
        """Write the bytes that a copy brings, and the state that they have from then on."""
        m = self.machine
        m.shared.bytes[where] = content
        m.shared_state.bytes[where] = state

    # ---- cp.async ------------------------------------------------------------------------------------------------
    def issue(
        self, ins: ast.Instruction, lanes: np.ndarray, target: Array, source: Array, size: int, filled: Array
    ) -> None:
        """Start copies from global to shared memory (byte offsets in their segments)."""
        self.claim(ins, lanes, target, size)
        self.batches.append(Batch(ins, lanes, self.committed[lanes], target, source, size, filled))

    def commit(self, lanes: np.ndarray) -> None:
        """Close the group of each lane."""
        self.committed[lanes] += 1

    def wait(self, lanes: np.ndarray, pending: int, everything: bool = False) -> None:
        """Land all groups of each lane but the latest `pending` ones; with `everything`, copies not committed, too."""
        limit = np.full(self.machine.count, np.iinfo(np.int64).min)
        limit[lanes] = np.iinfo(np.int64).max if everything else self.committed[lanes] - pending
        self._land(lambda batch: batch.group < limit[batch.lanes])

    def _land(self, choose: Callable[[Batch], Array]) -> None:
        kept: list[Batch] = []
        ready: list[Batch] = []
        for batch in self.batches:
            chosen = choose(batch)
            if chosen.all():
                ready.append(batch)
            elif chosen.any():
                ready.append(batch.take(chosen))
                kept.append(batch.take(~chosen))
            else:
                kept.append(batch)
        self.batches = kept
        if self.machine.settings.seed is not None:
            self.machine.rng.shuffle(ready)  # type: ignore[arg-type]
        for batch in ready:
            self._copy(batch, self.machine.memory.segment)

    def _copy(self, batch: Batch, segment: Segment) -> None:
        m = self.machine
        column = np.arange(batch.size)
        good = column < batch.filled[:, None]
        source = np.where(good, batch.source[:, None] + column, 0)
        content = np.where(good, segment.bytes[source], np.uint8(0))
        if m.races is not None:
            m.races.access(batch.ins, batch.lanes, batch.target, batch.size, True)
        self.settle(batch.target[:, None] + column, content, WRITTEN)

    # ---- mbarriers -----------------------------------------------------------------------------------------------
    def progress(self, key: tuple[int, int] | None = None) -> bool:
        """Land something that reports to an mbarrier (`key`, or any); return whether there was anything.

        In the adversarial mode one copy at a time lands, in random order; else all that there are.
        """
        found = [t for t in self.transfers if t.key is not None and (key is None or t.key == key)]
        if not found and not self.arrivals:
            return False
        if self.machine.settings.seed is not None:
            both: list[Transfer | Arrival] = [*found, *self.arrivals]
            chosen = [both[int(self.machine.rng.integers(len(both)))]]
        else:
            chosen = [*found, *self.arrivals]
        for each in chosen:
            if isinstance(each, Transfer):
                self.transfers.remove(each)
                each.land()
            else:
                self.arrivals.remove(each)
                self._land(lambda batch, lane=each.lane: batch.lanes == lane)
                each.run()
        return True

    # ---- bulk groups ---------------------------------------------------------------------------------------------
    def wait_bulk(self, lanes: np.ndarray, pending: int, reading: bool) -> None:
        """Land (or, with `reading`, only read the sources of) all bulk groups of the lanes but the latest ones."""
        limit = np.full(self.machine.count, -1)
        limit[lanes] = self.bulk_committed[lanes] - pending
        for transfer in [t for t in self.transfers if t.key is None and t.group < limit[t.lane]]:
            if reading and transfer.read is not None:
                transfer.read()
                transfer.unread = False
            else:
                self.transfers.remove(transfer)
                transfer.land()

    def finish(self) -> None:
        """Land what is still under way when a kernel ends: stores to global memory, if their source was read before."""
        for transfer in [t for t in self.transfers if t.key is None]:
            if transfer.unread:
                lane = np.array([transfer.lane])
                self.machine.fail(
                    InFlight, transfer.ins, lane, 0, "the block ends before this has read its shared memory"
                )
            self.transfers.remove(transfer)
            transfer.land()
