"""The machine's ceilings: multiply-adds by dtype, and reads by level of memory.

A fraction of a roofline means something only against what this machine did in the same minutes, so ceilings are
measured, never looked up. All threads run the probe at once; the best of several runs counts.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import probes

REPEATS = 20
DRAM_BYTES = 256 << 20  # for each thread: far above any cache
CACHED_TRAFFIC = 256 << 20  # bytes that a probe of a cache reads in all


@dataclass(frozen=True)
class Ceilings:
    """What the machine can do with the given number of threads; what could not be measured is missing.

    Attributes:
        threads: how many ran.
        flops: operations a second by dtype ("f32", "bf16", "int8"); a multiply-add counts two.
        read: bytes a second by level of memory ("l2", "l3", "dram").
    """

    threads: int
    flops: dict[str, float] = field(default_factory=dict)
    read: dict[str, float] = field(default_factory=dict)

    def describe(self) -> str:
        """Return the ceilings as text."""
        parts = [
            f"{rate / 1e9:.0f} G{'OP' if name == 'int8' else 'FLOP'}/s {name}"
            for name, rate in self.flops.items()
        ]
        parts += [f"{rate / 1e9:.1f} GB/s from {level}" for level, rate in self.read.items()]
        return ", ".join(parts) or "not measured"

    def least_s(self, flops: float, moved: float, dtype: str = "f32", level: str = "dram") -> float | None:
        """Return the least time for `flops` operations and `moved` bytes; None if a ceiling is missing."""
        if dtype not in self.flops or level not in self.read:
            return None
        return max(flops / self.flops[dtype], moved / self.read[level])


def measure(threads: int) -> Ceilings:
    """Measure with `threads` threads.

    Args:
        threads: at least 1.

    Returns:
        The ceilings.
    """
    from ..targets import base

    target = base.find("cpu")
    machine = target.machine
    kinds: dict[str, probes.Arithmetic] = {}
    for kind in probes.ARITHMETIC:
        if kind.feature in target.features:
            kinds.setdefault(kind.name, kind)
    lanes = machine.vector_bits // 32
    sizes = {"l2": machine.l2_bytes // 2, "l3": target.cache_bytes(3) // 2 // threads, "dram": DRAM_BYTES}
    if sizes["l3"] <= machine.l2_bytes:
        del sizes["l3"]
    passes = {level: max(1, CACHED_TRAFFIC // size) for level, size in sizes.items()}
    load = _compile(target, kinds, lanes, passes)

    flops = {}
    for name, kind in kinds.items():
        arrays = [
            np.full(kind.bits // 32 * (probes.ACCUMULATORS + 1), 0.5, np.float32) for _ in range(threads)
        ]
        work = kind.operations * probes.ACCUMULATORS * probes.ROUNDS * threads
        flops[name] = work / _best_s(load(f"compute_{name}", kind.bits // 32), arrays)
    read, step = {}, lanes * probes.ACCUMULATORS
    for level, size in sizes.items():
        arrays = [np.ones(size // 4 // step * step, np.float32) for _ in range(threads)]
        moved = sum(x.nbytes for x in arrays) * passes[level]
        read[level] = moved / _best_s(load(f"read_{level}", lanes), arrays)
    return Ceilings(threads, flops, read)


def _compile(target: Any, kinds: dict[str, probes.Arithmetic], lanes: int, passes: dict[str, int]) -> Any:
    """Emit all probes as one object; return a function (symbol, lanes of the result) → executable."""
    from .. import runtime
    from .._mlir._mlir_libs import _tilewright
    from ..manifest import ABI
    from ..mlir import mlir

    ir = mlir().ir
    with mlir().context, ir.Location.unknown():
        module = ir.Module.create()
        builder = probes.ProbeBuilder(ir, module)
        for name, kind in kinds.items():
            builder.arithmetic(f"compute_{name}", kind)
        for level, count in passes.items():
            builder.read(f"read_{level}", lanes, count)
        code = target.emit(module, 2)

    def executable(symbol: str, width: int) -> Any:
        argument = {"name": "x", "dtype": "float32", "shape": [None], "dims": [None], "kind": "input",
                    "donate": False, "weight": None, "packed_by": None, "sources": []}  # fmt: skip
        manifest = {
            "abi": ABI, "target": target.name, "cpu": target.cpu, "features": target.features,
            "build": _tilewright.toolchain_build(), "entry": symbol, "shapes": None, "args": [argument],
            "outputs": [{"dtype": "float32", "shape": [width], "alias": None}], "symbols": {}, "loads": [],
            "scratch": 0, "locations": [], "in_tree": None, "out_tree": None, "flops": 0, "bytes": 0,
        }  # fmt: skip
        return runtime.Executable(code, manifest)

    return executable


def _best_s(call: Any, arrays: list[np.ndarray]) -> float:
    """Return the least time in which all threads finish one call each."""
    best = float("inf")
    for _ in range(REPEATS):
        barrier = threading.Barrier(len(arrays) + 1)

        def work(x: np.ndarray, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            call(x)
            barrier.wait()

        threads = [threading.Thread(target=work, args=(x,)) for x in arrays]
        for thread in threads:
            thread.start()
        barrier.wait()
        start = time.perf_counter()
        barrier.wait()
        best = min(best, time.perf_counter() - start)
        for thread in threads:
            thread.join()
    return best
