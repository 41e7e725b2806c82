"""Answers about compiled programs, from the manifest alone: what is in a kernel, what it costs, why it is as it is."""

from __future__ import annotations

import contextlib
import contextvars
import re
from collections.abc import Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .roofline.ceilings import Ceilings

# What the machine can do, where the explanation is to say what a kernel takes at least.
_ceilings: contextvars.ContextVar[Ceilings | None] = contextvars.ContextVar("ceilings", default=None)


@contextlib.contextmanager
def under(ceilings: Ceilings) -> Iterator[None]:
    """Make explanations within the block state the least time of each kernel under measured ceilings."""
    token = _ceilings.set(ceilings)
    try:
        yield
    finally:
        _ceilings.reset(token)


def _itemsize(dtype: str) -> int:
    from . import dtypes

    return dtypes.by_name(dtype).numpy.itemsize


def _bytes(entry: Mapping[str, Any]) -> int | None:
    shape = entry["shape"]
    if any(size is None for size in shape):
        return None
    return prod(shape) * _itemsize(entry["dtype"])


def _sum(values: list[int | None]) -> int | None:
    return None if any(value is None for value in values) else sum(v for v in values if v is not None)


def op_flops(op: Mapping[str, Any]) -> int | None:
    """Scalar operations of one computation; None where a size is dynamic."""
    if any(size is None for size in op["ranges"]):
        return None
    return prod(op["ranges"]) * op["flops"]


def _operand_bytes(operand: Mapping[str, Any]) -> int | None:
    if any(size is None for size in operand["shape"]):
        return None
    return prod(operand["shape"]) * max(operand["bits"], 8) // 8


def kernel_flops(kernel: Mapping[str, Any]) -> int | None:
    """Scalar operations of one call of a kernel."""
    return _sum([op_flops(op) for op in kernel["ops"]])


def kernel_bytes(kernel: Mapping[str, Any]) -> int | None:
    """Bytes that one call of a kernel reads and writes at least: its root's output and every tensor read first."""
    total: list[int | None] = []
    for op in kernel["ops"]:
        total += [_operand_bytes(o) for o in op["operands"] if not o["output"] and o["shape"]]
    total += [_operand_bytes(o) for o in kernel["ops"][-1]["operands"] if o["output"]]
    return _sum(total)


def cost(manifest: Mapping[str, Any]) -> dict[str, float | None]:
    """Return `flops` and `bytes accessed` of one call of a program; None where sizes are dynamic."""
    kernels = manifest.get("kernels", [])
    flops = _sum([None if (f := kernel_flops(k)) is None else f * k["calls"] for k in kernels])
    moved = _sum([None if (b := kernel_bytes(k)) is None else b * k["calls"] for k in kernels])
    return {"flops": flops, "bytes accessed": moved}


def memory(manifest: Mapping[str, Any]) -> dict[str, int | None]:
    """Return bytes of arguments, weights, outputs and temporaries; None where sizes are dynamic."""
    args = manifest["args"]
    return {
        "argument_size_in_bytes": _sum([_bytes(a) for a in args if a["kind"] == "input"]),
        "weight_size_in_bytes": _sum([_bytes(a) for a in args if a["kind"] == "weight"]),
        "output_size_in_bytes": _sum([_bytes(o) for o in manifest["outputs"] if o["alias"] is None]),
        "temp_size_in_bytes": manifest.get("scratch"),
    }


def _count(value: float | None, unit: str) -> str:
    if value is None:
        return f"{unit} depend on dynamic sizes"
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.1f} {prefix}{unit}"
    return f"{value:.0f} {unit}"


_CONFIG = re.compile(
    r"workgroup = \[(.*?)\], tile = \[(.*?)\], lane = (-?\d+), vector = (\d+), unroll = (\d+), lowering = \"(\w+)\""
)


def _how(config: str) -> str:
    match = _CONFIG.search(config)
    if not match:
        return config
    workgroup, tile, lane, vector, unroll, lowering = match.groups()
    parts = [f"threads take [{workgroup}]" if workgroup else "one thread"]
    if tile:
        parts.append(f"register tile [{tile}]")
    parts.append(
        f"loop d{lane} in vectors of {vector} x {unroll}" if lowering == "vector" else "scalar loops"
    )
    return ", ".join(parts)


def _least(ceilings: Ceilings, flops: int | None, moved: int | None, dtype: str) -> str:
    """Say what one call takes at least, with its data from memory, and what bounds it."""
    if flops is None or moved is None:
        return "depends on dynamic sizes"
    arithmetic = ceilings.least_s(flops, 0, dtype)
    memory = ceilings.least_s(0, moved, dtype)
    if arithmetic is None or memory is None:
        return f"not known: no {dtype} arithmetic was measured on this machine"
    bound = f"{dtype} arithmetic" if arithmetic > memory else "reads and writes of memory"
    us = 1e6 * max(arithmetic, memory)
    text = f"{us:.3g} µs" if us < 1000 else f"{us / 1000:.3g} ms"
    return f"{text}, bound by {bound} on {ceilings.threads} threads"


def _kernel_lines(kernel: Mapping[str, Any]) -> list[str]:
    flops, moved = kernel_flops(kernel), kernel_bytes(kernel)
    lines = [f"{kernel['name']}: {len(kernel['ops'])} fused operations, called {kernel['calls']} times"]
    if kernel["lines"]:
        lines.append(
            "  lines      " + ", ".join(kernel["lines"][:6]) + (" …" if len(kernel["lines"]) > 6 else "")
        )
    ceilings = _ceilings.get()
    intensity = f", {flops / moved:.2f} flops a byte" if flops and moved else ""
    lines.append(f"  work       {_count(flops, 'flops')}, {_count(moved, 'bytes')}{intensity}")
    if ceilings is not None:
        lines.append(f"  at least   {_least(ceilings, flops, moved, kernel.get('arithmetic', 'f32'))}")
    for op in kernel["ops"]:
        loops = " ".join(
            f"{'par' if k == 'parallel' else 'red'}:{'?' if r is None else r}"
            for k, r in zip(op["loops"], op["ranges"], strict=True)
        )
        lines.append(f"  {op['kind']:<15} [{loops}] {_how(op['config'])}")
        if op["why"]:
            lines.append(f"                  because {op['why']}")
        if candidates := op.get("candidates"):
            lines.append("                  weighed " + "; ".join(candidates))
    lines += [f"  not fused  {reason}" for reason in kernel["unfused"]]
    return lines


def explain(name: str, manifest: Mapping[str, Any]) -> str:
    """Say for each kernel what is in it, how it is tiled and why, and what was not fused and why.

    Args:
        name: The program's name.
        manifest: Its manifest.

    Returns:
        Text for people.
    """
    kernels = manifest.get("kernels", [])
    packed = [a for a in manifest["args"] if a.get("packed_by") is not None]
    lines = [
        f"{name}: {len(kernels)} kernels, {sum(k['calls'] for k in kernels)} calls on {manifest.get('cpu', '?')}"
    ]
    if packed:
        lines.append(f"{len(packed)} weights are packed once by {len(manifest['loads'])} load functions")
    for kernel in kernels:
        lines += ["", *_kernel_lines(kernel)]
    if seconds := manifest.get("seconds"):
        total = sum(seconds.values())
        steps = ", ".join(f"{stage} {1e3 * s:.0f}" for stage, s in seconds.items())
        lines += ["", f"compiled in {1e3 * total:.0f} ms: {steps}"]
    return "\n".join(lines)
