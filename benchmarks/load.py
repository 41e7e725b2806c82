"""Foreign CPU load: what other processes took of the machine while a round was timed.

Times on a shared machine are noise: one busy foreign thread makes a two-thread system several times slower. A round in
which others used more than `LIMIT` of a core says nothing about the system and is dropped.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

LIMIT = 0.15  # cores
_TICK = os.sysconf("SC_CLK_TCK")


def _machine_busy_s() -> float:
    """Return the CPU seconds spent by the whole machine, stolen time included."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICK


def _own_busy_s(children: bool) -> float:
    whose = [resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN] if children else [resource.RUSAGE_SELF]
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, whose))


@dataclass
class Window:
    """A stretch of time in which foreign load is measured: `with Window() as w: …; w.foreign`.

    Args:
        children: processes that started and ended within the window are ours, too.
    """

    children: bool = False
    foreign: float = 0.0  # cores, mean over the window

    def __enter__(self) -> Window:
        self._wall, self._machine, self._own = (
            time.perf_counter(),
            _machine_busy_s(),
            _own_busy_s(self.children),
        )
        return self

    def __exit__(self, *_: object) -> None:
        wall = time.perf_counter() - self._wall
        foreign = (_machine_busy_s() - self._machine) - (_own_busy_s(self.children) - self._own)
        self.foreign = max(0.0, foreign / wall) if wall else 0.0


@contextlib.contextmanager
def neighbour() -> Iterator[None]:
    """Keep one process computing on the processors that this one may use."""
    command = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()
