"""The machine's ceilings, measured beside every run (see tilewright.roofline), and what a workload owes to them."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from tilewright.roofline.ceilings import Ceilings, measure

from .workload import Workload

__all__ = ["Ceilings", "describe", "least_ms", "measured"]


def measured(threads: int) -> Ceilings:
    """Measure the ceilings; without a compiled Tilewright there are none."""
    try:
        return measure(threads)
    except (ImportError, AttributeError):
        return Ceilings(threads)


def least_ms(ceilings: Ceilings, workload: Workload) -> float | None:
    """Return the least time that the workload's own roof allows, in milliseconds."""
    if workload.roof in ceilings.flops:
        return workload.flops / ceilings.flops[workload.roof] * 1e3
    if workload.roof in ceilings.read:
        return workload.bytes / ceilings.read[workload.roof] * 1e3
    return None


def describe() -> dict[str, str | int]:
    """Return what the machine is, for the head of a report."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.system(),
        "python": platform.python_version(),
    }
