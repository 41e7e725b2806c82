"""Who runs next.

Normally all lanes that stand at the lowest program counter run together, so that paths meet again where they join, and
warps run as one vector.  In the adversarial mode one warp, or some of those that stand at the same
place, runs for a random number of instructions.
"""

from __future__ import annotations

import numpy as np

from ptx.errors import Deadlock, NoProgress, PtxError
from ptx.machine import EXITED, RUNNING, Machine, Selection

STEPS = (1, 3, 10, 50, 300)  # instructions of a turn in the adversarial mode
PATIENCE = 1000  # instructions after which others get a turn, in case a loop waits for them


class Scheduler:
    """Runs a machine to its end."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.random = machine.settings.seed is not None
        self.impatient = False

    def run(self) -> None:
        """Run until all threads have exited.

        Raises:
            Deadlock: threads are left and none can go on.
            NoProgress: more instructions than the launch allows.
        """
        m = self.machine
        while m.live:
            running = m.status == RUNNING
            if not running.any():
                if m.asynchronous.progress():
                    continue
                raise Deadlock(self.describe())
            self.advance(*(self.pick_randomly(running) if self.random else self.pick(running)))
        m.asynchronous.finish()
        m.wgmma.finish()

    def pick(self, running: np.ndarray) -> tuple[int, Selection, int, int]:
        """Choose the lanes at the lowest program counter: (counter, lanes, next counter of others, instructions)."""
        m = self.machine
        if m.live == m.count and running.all() and (m.pc == m.pc[0]).all():
            return int(m.pc[0]), slice(0, m.count), 1 << 60, max(1, m.settings.max_steps - m.steps + 1)
        counters = m.pc[running]
        at = int(counters.min())
        if self.impatient:
            self.impatient = False
            at = int(m.rng.choice(np.unique(counters)))
        chosen = running & (m.pc == at)
        others = counters[counters > at]
        return at, simplify(np.flatnonzero(chosen)), int(others.min()) if others.size else 1 << 60, PATIENCE

    def pick_randomly(self, running: np.ndarray) -> tuple[int, Selection, int, int]:
        """Choose a warp, and in it mostly the lanes at the lowest program counter, for a random number of instructions.

        Half of the time some of the other warps that stand there come along.
        """
        m = self.machine
        candidates = np.flatnonzero(running)
        warp = int(m.warp_of[candidates[int(m.rng.integers(candidates.size))]])
        inside = candidates[m.warp_of[candidates] == warp]
        counters = m.pc[inside]
        at = int(counters.min()) if m.rng.random() < 0.9 else int(m.rng.choice(counters))
        chosen = inside[counters == at]
        if m.rng.random() < 0.5:
            joining = m.rng.random(m.count // 32) < 0.75
            joining[warp] = False
            chosen = np.union1d(chosen, candidates[joining[m.warp_of[candidates]] & (m.pc[candidates] == at)])
        others = counters[counters > at]
        steps = int(m.rng.choice(STEPS))
        return at, simplify(chosen), int(others.min()) if others.size else 1 << 60, steps

    def advance(self, pc: int, s: Selection, limit: int, steps: int) -> None:
        """Execute instructions for a selection until it parts, waits, meets others, or its turn is over."""
        m = self.machine
        code, products = m.program.code, m.wgmma
        left = steps
        try:
            while left:
                left -= 1
                if products.products:
                    products.check(pc, s)
                following = code[pc](m, s)
                if following is None:
                    pc += 1
                elif following < 0:
                    break
                else:
                    pc = following
                if pc >= limit:
                    m.pc[s] = pc
                    break
            else:
                m.pc[s] = pc
                self.impatient = True
        except PtxError:
            raise
        except Exception as error:
            ins = m.program.instructions[pc]
            raise PtxError(f"line {ins.line}: the interpreter failed: {error!r}\n  {ins.text}") from error
        done = steps - left
        m.steps += done
        m.executed += done * (s.stop - s.start if isinstance(s, slice) else s.size)
        if m.steps > m.settings.max_steps:
            ins = m.program.instructions[min(pc, len(code) - 1)]
            raise NoProgress(f"line {ins.line}: no end after {m.steps} steps\n  {ins.text}")

    def describe(self) -> str:
        """Say who waits where."""
        m = self.machine
        lines = ["all threads that are left wait:"]
        left = np.flatnonzero(m.status != EXITED)
        for pc in np.unique(m.waits_at[left]):
            lanes = left[m.waits_at[left] == pc]
            ins = m.program.instructions[int(pc)]
            warps = sorted(
                {(m.blocks[lane // m.width], int(lane % m.width // 32)) for lane in lanes.tolist()}
            )
            some = ", ".join(f"block {block} warp {warp}" for block, warp in warps[:4])
            more = f" and {len(warps) - 4} more" if len(warps) > 4 else ""
            lines.append(f"  line {ins.line}: {ins.text}   ({lanes.size} threads: {some}{more})")
        return "\n".join(lines)


def simplify(lanes: np.ndarray) -> Selection:
    """Return a slice if lanes follow each other without a gap."""
    if lanes.size and lanes[-1] - lanes[0] + 1 == lanes.size:
        return slice(int(lanes[0]), int(lanes[-1]) + 1)
    return lanes
