"""Costs and explanations of compiled programs, read from their manifests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["costs", "render"]


def _kernel_bytes(kernel: Mapping[str, Any]) -> int | None:
    """Bytes of what a kernel reads from and writes to outside; each operand counts once."""
    total = 0
    for op in kernel["ops"]:
        for operand in op["operands"]:
            if any(size is None for size in operand["shape"]):
                return None
            total += math.prod(operand["shape"]) * operand["bits"] // 8
    return total


def _kernel_flops(kernel: Mapping[str, Any]) -> int | None:
    total = 0
    for op in kernel["ops"]:
        if any(not isinstance(size, int) or size < 0 for size in op["ranges"]):
            return None
        total += op["flops"] * math.prod(op["ranges"])
    return total


def costs(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return `flops` and `bytes accessed` of a call, and the same per kernel; None where sizes are dynamic."""
    kernels = []
    flops: int | None = 0
    moved: int | None = 0
    for kernel in manifest.get("kernels") or ():
        f, b, calls = _kernel_flops(kernel), _kernel_bytes(kernel), max(kernel.get("calls") or 0, 1)
        kernels.append({"name": kernel["name"], "calls": calls, "flops": f, "bytes accessed": b})
        flops = None if f is None or flops is None else flops + f * calls
        moved = None if b is None or moved is None else moved + b * calls
    return {"flops": flops, "bytes accessed": moved, "kernels": kernels}


def render(name: str, manifest: Mapping[str, Any]) -> str:
    """Render, kernel by kernel: the user's lines, what was fused, the configuration and its reason, the costs."""
    kernels = manifest.get("kernels") or ()
    lines = [f"{name}: {len(kernels)} kernel{'' if len(kernels) == 1 else 's'} for target {manifest.get('target')}"]
    if manifest.get("target") == "interp":
        lines.append("  the NumPy reference runs the traced program op by op; nothing is fused.")
    for kernel, cost in zip(kernels, costs(manifest)["kernels"], strict=True):
        lines.append("")
        lines.append(f"{kernel['name']}  (called {cost['calls']} time{'' if cost['calls'] == 1 else 's'} per run)")
        for line in dict.fromkeys(kernel.get("lines") or ()):
            lines.append(f"  from     {line}")
        lines.append(f"  fused    {' + '.join(op['kind'] for op in kernel['ops'])}")
        for op in kernel["ops"]:
            loops = " x ".join("?" if not isinstance(r, int) or r < 0 else str(r) for r in op["ranges"])
            lines.append(f"  {op['kind']:<8} loops {loops}: {op['config']}")
            if op.get("why"):
                lines.append(f"           because {op['why']}")
        f, b = cost["flops"], cost["bytes accessed"]
        if f is None or b is None:
            lines.append("  cost     depends on sizes that are known at the call")
        else:
            intensity = f" = {f / b:.2f} flops per byte" if b else ""
            lines.append(f"  cost     {f:,} flops, {b:,} bytes{intensity}")
        for reason in kernel.get("unfused") or ():
            lines.append(f"  apart    {reason}")
    scratch = manifest.get("scratch")
    lines.append("")
    lines.append(f"scratch memory: {'depends on the sizes' if scratch is None else f'{scratch:,} bytes'}")
    return "\n".join(lines)
