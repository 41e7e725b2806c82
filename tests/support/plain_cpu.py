"""A CPU without instructions for groups of products, as a target."""

from tilewright.targets.cpu.target import CpuTarget


def plain() -> CpuTarget:
    """Return the target."""
    return CpuTarget("haswell", "+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+popcnt")
