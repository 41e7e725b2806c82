"""Whether this machine can run code that was compiled for another one."""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import errors

__all__ = ["missing", "of_this_machine", "require"]

# LLVM's names where they differ from those of /proc/cpuinfo.
_KERNEL_NAMES = {
    "avx512vnni": "avx512_vnni",
    "avx512vbmi2": "avx512_vbmi2",
    "avx512bitalg": "avx512_bitalg",
    "avx512vpopcntdq": "avx512_vpopcntdq",
    "avx512bf16": "avx512_bf16",
    "avx512fp16": "avx512_fp16",
    "avx512vp2intersect": "avx512_vp2intersect",
    "avxvnni": "avx_vnni",
    "amx-bf16": "amx_bf16",
    "amx-int8": "amx_int8",
    "amx-tile": "amx_tile",
    "sse3": "pni",
    "sse4.1": "sse4_1",
    "sse4.2": "sse4_2",
    "lzcnt": "abm",
    "sha": "sha_ni",
}
# What compiled code would crash without. Others (cache hints, system instructions) are never used by our passes,
# and the system does not list all of them.
_CHECKED = frozenset(
    {
        "avx", "avx2", "fma", "f16c", "bmi", "bmi2", "popcnt", "movbe", "sse3", "ssse3", "sse4.1", "sse4.2", "lzcnt",
        "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512ifma", "avx512vbmi", "avx512vnni",
        "avx512vbmi2", "avx512bitalg", "avx512vpopcntdq", "avx512bf16", "avx512fp16", "avxvnni", "gfni", "vaes",
        "vpclmulqdq", "amx-bf16", "amx-int8", "amx-tile",
        "asimd", "fp16", "dotprod", "bf16", "i8mm", "sve", "sve2",
    }
)  # fmt: skip
_KERNEL_BMI = {"bmi": "bmi1"}
_KERNEL_ARM = {"fp16": "asimdhp", "dotprod": "asimddp"}


@functools.cache
def of_this_machine() -> frozenset[str]:
    """Return what /proc/cpuinfo says that the processor can do; empty if it says nothing."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return frozenset()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() in ("flags", "features"):
            return frozenset(value.split())
    return frozenset()


def missing(wanted: str, available: frozenset[str] | None = None) -> list[str]:
    """Return the features of a comma-separated LLVM list (`+avx2,-sse4a`) that the processor lacks."""
    have = of_this_machine() if available is None else available
    if not have:
        return []
    names = {**_KERNEL_NAMES, **_KERNEL_BMI}
    if platform.machine() == "aarch64":
        names |= _KERNEL_ARM
    features = [part[1:] for part in wanted.split(",") if part.startswith("+")]
    return [name for name in features if name in _CHECKED and names.get(name, name) not in have]


def require(manifest: Mapping[str, Any], what: str) -> None:
    """Check that this machine can run a program.

    Args:
        manifest: its manifest, with "features" as LLVM writes them.
        what: what to call the program in the error.

    Raises:
        DeviceError: it lacks a feature.
    """
    lacking = missing(str(manifest.get("features") or ""))
    if lacking:
        cpu = manifest.get("cpu") or "another processor"
        raise errors.DeviceError(
            f"{what}: compiled for {cpu}, this processor lacks {', '.join(lacking)}",
            help="compile and save it on this machine.",
        )
