"""A detector of races on shared memory, by vector clocks of warps.

Each warp has a clock that it advances whenever it releases something (a barrier, an arrival).  For each byte it is kept
which warp wrote it last and when, and when each warp of the block read it last.  An access is a race if an earlier access
of another warp, one of the two writing, has not been released to this warp.

Within a warp, a thread may read what another one has written only behind something that synchronises the warp
(`bar.warp.sync`, a barrier, a phase of an mbarrier); other races within a warp, and those between the blocks of a cluster,
are not looked for.
"""

from __future__ import annotations

import numpy as np

from ptx import syntax as ast
from ptx.errors import Race
from ptx.machine import Machine, Selection
from ptx.types import Array


class Races:
    """Clocks of all warps of a machine and books over the bytes of its shared memory."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        warps, size = machine.warps * len(machine.blocks), machine.shared.bytes.size
        # clock[w, v]: what warp w knows of warp v; warps are numbered through all blocks.
        self.clock = np.zeros((warps, warps), np.int32)
        np.fill_diagonal(self.clock, 1)
        self.writer = np.zeros(size, np.int32)
        self.written = np.zeros(size, np.int32)
        self.line = np.zeros(size, np.int32)
        self.read = np.zeros((size, machine.warps), np.int32)
        # Who wrote a byte last, and how often the warp had synchronised its threads by then.
        self.lane = np.full(size, -1, np.int32)
        self.turn = np.zeros(size, np.int32)
        self.turns = np.zeros(warps, np.int32)
        self.arrived: dict[tuple[int, int], Array] = {}
        self.phases: dict[tuple[int, int], Array] = {}

    def access(self, ins: ast.Instruction, s: Selection, index: Array, size: int, write: bool) -> None:
        """Note an access of `size` bytes per lane; raises `Race`."""
        m = self.machine
        where = (np.asarray(index)[:, None] + np.arange(size)).reshape(-1)
        warp = np.repeat(m.warp_of[s], size)
        writer = self.writer[where]
        late = (self.written[where] > self.clock[warp, writer]) & (writer != warp)
        if late.any():
            self._report(ins, s, int(np.argmax(late)), size, where, "written", write)
        now = self.clock[warp, warp]
        lane = np.repeat(m.lanes[s], size)
        if not write:
            other = (writer == warp) & (self.lane[where] != lane) & (self.lane[where] >= 0)
            other &= self.turn[where] == self.turns[warp]
            if other.any():
                what = "written by another thread of the warp"
                self._report(ins, s, int(np.argmax(other)), size, where, what, write)
            self.read[where, warp % m.warps] = now
            return
        first = warp - warp % m.warps
        known = self.clock[warp[:, None], first[:, None] + np.arange(m.warps)]
        unseen = self.read[where] > known
        unseen[np.arange(warp.size), warp % m.warps] = False
        if unseen.any():
            position = int(np.argmax(unseen.any(1)))
            self._report(
                ins, s, position, size, where, f"read by warp {int(np.argmax(unseen[position]))}", write
            )
        self.writer[where], self.written[where], self.line[where] = warp, now, ins.line
        self.lane[where], self.turn[where] = lane, self.turns[warp]
        clash = self.writer[where] != warp
        if clash.any():
            self._report(ins, s, int(np.argmax(clash)), size, where, "written by another warp, too", write)

    def _report(
        self,
        ins: ast.Instruction,
        s: Selection,
        position: int,
        size: int,
        where: Array,
        what: str,
        write: bool,
    ) -> None:
        at = int(where[position])
        verb = "writes" if write else "reads"
        last = f" (line {self.line[at]} wrote it last)" if self.line[at] else ""
        text = f"{verb} shared byte {at % self.machine.shared_stride:#x}, {what}{last}, and no barrier orders the two"
        self.machine.fail(Race, ins, s, position // size, text)

    def join(self, arrived: np.ndarray, waiting: np.ndarray) -> None:
        """All that the arrived threads did happens before what the waiting ones do next."""
        m = self.machine
        from_, to = np.unique(m.warp_of[arrived]), np.unique(m.warp_of[waiting])
        known = self.clock[from_].max(0)
        self.clock[to] = np.maximum(self.clock[to], known)
        self.clock[from_, from_] += 1
        self.turns[to] += 1

    def synchronise(self, lanes: np.ndarray) -> None:
        """The threads of a warp see what each of them has written."""
        self.turns[np.unique(self.machine.warp_of[lanes])] += 1

    def release(self, key: tuple[int, int], lanes: np.ndarray) -> None:
        """Threads arrive at an mbarrier."""
        for warp in np.unique(self.machine.warp_of[lanes]):
            known = self.arrived.get(key)
            self.arrived[key] = (
                self.clock[warp].copy() if known is None else np.maximum(known, self.clock[warp])
            )
            self.clock[warp, warp] += 1

    def phase(self, key: tuple[int, int]) -> None:
        """A phase of an mbarrier is complete: those who see it see what was released to it."""
        if key in self.arrived:
            self.phases[key] = self.arrived[key].copy()

    def acquire(self, key: tuple[int, int], lanes: np.ndarray) -> None:
        """Threads have seen that a phase is complete."""
        if key in self.phases:
            for warp in np.unique(self.machine.warp_of[lanes]):
                self.clock[warp] = np.maximum(self.clock[warp], self.phases[key])
                self.turns[warp] += 1

    def snapshot(self, warp: int) -> Array:
        """Return what a warp knows as it issues a copy, and begin a new time for it."""
        seen = self.clock[warp].copy()
        self.clock[warp, warp] += 1
        return seen

    def landed(self, key: tuple[int, int], seen: Array) -> None:
        """A copy has landed and tells an mbarrier: who sees that phase sees the copy."""
        known = self.arrived.get(key)
        self.arrived[key] = seen if known is None else np.maximum(known, seen)
