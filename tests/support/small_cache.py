"""This machine's CPU with a last cache that holds next to nothing: small arrays are treated as large ones."""

from dataclasses import replace

from tilewright.targets.cpu.target import CpuTarget


def small_cache() -> CpuTarget:
    """Return the target."""
    target = CpuTarget()
    target.__dict__["machine"] = replace(target.machine, l3_bytes=1 << 10)
    return target
