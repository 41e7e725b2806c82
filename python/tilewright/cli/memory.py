"""How much memory this process has held at once."""

from __future__ import annotations

import resource
from pathlib import Path


def peak() -> int:
    """Return the largest resident size of this process in bytes; `getrusage` would count its parent's, too."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes * 1024
