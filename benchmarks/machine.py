"""The machine's ceilings, measured beside every run: float32 multiply-adds and reads from memory.

A fraction of a roofline means something only against what this machine did in the same minutes. The probes are two
kernels in the dialect of the last stage (probes.mlir), emitted by Tilewright's own code generator.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .workload import Workload

ITERATIONS = 2_000_000
READ_BYTES = 256 << 20  # for each thread: far above any cache
REPEATS = 7


@dataclass(frozen=True)
class Ceilings:
    """What the machine can do with the given number of threads; None where it could not be measured."""

    flops: float | None  # float32, a multiply-add counts two
    read: float | None  # bytes a second

    def describe(self) -> str:
        """Return the ceilings as text."""
        flops = f"{self.flops / 1e9:.0f} GFLOP/s float32" if self.flops else "multiply-adds not measured"
        read = f"{self.read / 1e9:.1f} GB/s read" if self.read else "memory not measured"
        return f"{flops}, {read}"

    def least_ms(self, workload: Workload) -> float | None:
        """Return the least time that the workload's own roof allows, in milliseconds."""
        if workload.roof == "f32" and self.flops:
            return workload.flops / self.flops * 1e3
        if workload.roof == "dram" and self.read:
            return workload.bytes / self.read * 1e3
        return None


def _source(lanes: int, accumulators: int) -> str:
    """Return probes.mlir for vectors of `lanes` float32."""
    names = [str(i) for i in range(accumulators)]
    vector = f"vector<{lanes}xf32>"
    total = [f"%t0 = llvm.fadd %s0, %s1 : {vector}"]
    total += [f"%t{i - 1} = llvm.fadd %t{i - 2}, %s{i} : {vector}" for i in range(2, accumulators)]
    total[-1] = "%total" + total[-1][total[-1].index(" =") :]
    loads = []
    for i in names:
        offset = int(i) * lanes
        loads += [
            f"%o{i} = llvm.mlir.constant({offset} : i64) : i64",
            f"%j{i} = llvm.add %i, %o{i} : i64",
            f"%p{i} = llvm.getelementptr %x_data[%j{i}] : (!llvm.ptr, i64) -> !llvm.ptr, f32",
            f"%v{i} = llvm.load %p{i} {{alignment = 4 : i64}} : !llvm.ptr -> {vector}",
            f"%r{i} = llvm.fadd %a{i}, %v{i} : {vector}",
        ]
    values = {
        "LANES": str(lanes),
        "ITERATIONS": str(ITERATIONS),
        "ACCUMULATORS": str(accumulators),
        "STEP": str(lanes * accumulators),
        "INIT": ", ".join("%x" for _ in names),
        "NULLS": ", ".join("%null" for _ in names),
        "TYPES": ", ".join(vector for _ in names),
        "ARGUMENTS": ", ".join(f"%a{i}: {vector}" for i in names),
        "SUMMANDS": ", ".join(f"%s{i}: {vector}" for i in names),
        "RESULTS": ", ".join(f"%r{i}" for i in names),
        "FMAS": "\n  ".join(f"%r{i} = llvm.intr.fma(%a{i}, %x, %x) : ({vector}, {vector}, {vector}) -> {vector}"
                            for i in names),
        "LOADS": "\n  ".join(loads),
        "SUM": "\n  ".join(total),
    }  # fmt: skip
    text = Path(__file__).with_name("probes.mlir").read_text(encoding="utf-8")
    text = "\n".join(line for line in text.splitlines() if not line.startswith("//"))
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _executables() -> tuple[Any, Any, int, int]:
    """Compile the probes; return (fma, read, lanes, accumulators)."""
    from tilewright import _runtime
    from tilewright._mlir import ir
    from tilewright._mlir._mlir_libs import _tilewright

    cpu, features = _tilewright.host_cpu()
    wide = "+avx512f" in features
    lanes, accumulators = (16, 24) if wide else (8, 12) if "+avx2" in features else (4, 12)
    with ir.Context(), ir.Location.unknown():
        module = ir.Module.parse(_source(lanes, accumulators))
        code = _tilewright.emit_object(module, cpu, features, 2)

    def executable(entry: str) -> Any:
        argument = {"name": "x", "dtype": "float32", "shape": [None], "dims": [None], "kind": "input",
                    "donate": False, "weight": None, "packed_by": None, "sources": []}  # fmt: skip
        manifest = {
            "abi": 1, "target": "cpu", "cpu": cpu, "features": features, "build": _tilewright.toolchain_build(),
            "entry": entry, "shapes": None, "args": [argument],
            "outputs": [{"dtype": "float32", "shape": [lanes], "alias": None}],
            "symbols": {}, "loads": [], "scratch": 0, "locations": [], "in_tree": None, "out_tree": None,
            "flops": 0, "bytes": 0,
        }  # fmt: skip
        return _runtime.Executable(code, manifest)

    return executable("fma"), executable("read"), lanes, accumulators


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


def measure(threads: int) -> Ceilings:
    """Measure the ceilings with `threads` threads; without a compiled Tilewright both are None."""
    try:
        fma, read, lanes, accumulators = _executables()
    except (ImportError, AttributeError):
        return Ceilings(None, None)
    small = [np.full(lanes, 0.5, np.float32) for _ in range(threads)]
    flops = 2.0 * lanes * accumulators * ITERATIONS * threads / _best_s(fma, small)
    step = lanes * accumulators
    large = [np.ones(READ_BYTES // 4 // step * step, np.float32) for _ in range(threads)]
    return Ceilings(flops, sum(x.nbytes for x in large) / _best_s(read, large))
