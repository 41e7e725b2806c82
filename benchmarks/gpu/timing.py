"""How long calls take, and how long they may take at most."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class OutOfTime(Exception):
    """What was measured took longer than its part of the run."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """End what runs inside with OutOfTime; native code ends first. Where there are no such signals, nothing happens."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise OutOfTime(f"{seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def seconds_per_call(call: Callable[[], Any], wait: Callable[[], None], longest: float) -> float:
    """Return the least mean time of a call, of several rounds that each wait once; `longest` 0 is one call."""
    wait()
    started = time.perf_counter()
    call()
    wait()
    once = max(time.perf_counter() - started, 1e-6)
    if not longest:
        return once
    count = max(1, min(1000, int(longest / 5 / once)))
    best = once
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(count):
            call()
        wait()
        best = min(best, (time.perf_counter() - started) / count)
    return best


def host_seconds(call: Callable[[], Any], wait: Callable[[], None], rounds: int, count: int) -> float:
    """Return the least mean time until a call returns, while the device still works."""
    best = math.inf
    for _ in range(rounds):
        wait()
        started = time.perf_counter()
        for _ in range(count):
            call()
        best = min(best, (time.perf_counter() - started) / count)
    wait()
    return best


def seconds_per_step(step: Callable[[], Any], warm: int, count: int, longest: float) -> float:
    """Return the mean time of up to `count` steps that follow on each other, after some that do not count."""
    for _ in range(warm):
        step()
    started, done = time.perf_counter(), 0
    while done < count and (not done or time.perf_counter() - started < longest):
        step()
        done += 1
    return (time.perf_counter() - started) / done
