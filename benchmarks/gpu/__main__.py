"""`python -m benchmarks.gpu`: measure programs for a GPU and print a table.

The yardsticks are measured first: a copy of one GiB (bytes read and written), and a product of torch, 8192 cubed in
bfloat16 on normal numbers. Every result is compared with that of torch, where there is one; a wrong one has no rate.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tilewright as tw
from tilewright.runtime import devices

from . import cases, peers

#: A peer stops being measured in a case after so many seconds; `make bench-gpu` ends within 8 minutes.
LONGEST = 0.5
TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2, "float16": 1e-2}


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


def yardsticks(maker: Any, small: bool, longest: float) -> dict[str, float]:
    """Measure a copy and, with torch, a product."""
    found: dict[str, float] = {}
    elements = 1000 if small else 1 << 28
    x = maker.random((elements,), "float32")
    if isinstance(maker, peers.Torch):
        y = maker.torch.empty_like(x)
        found["bytes"] = 8 * elements / seconds_per_call(lambda: y.copy_(x), maker.wait, longest)
        n = 256 if small else 8192
        a, b = maker.random((n, n), "bfloat16"), maker.random((n, n), "bfloat16")
        found["flops"] = 2.0 * n**3 / seconds_per_call(lambda: a @ b, maker.wait, longest)
    else:
        own = peers.Tilewright()
        copy = tw.jit(lambda x: x + 0, target="cuda")
        copy(x)
        found["bytes"] = 8 * elements / seconds_per_call(lambda: copy(x), own.wait, longest)
    return found


def measure(
    case: cases.Case, peer: Any, sources: list[Any], expected: np.ndarray | None, longest: float, small: bool
) -> dict[str, Any]:
    """Measure one case with one peer."""
    arrays = [peer.array(source) for source in sources]
    call = peer.compiled(case.functions, arrays)
    if call is None:
        return {}
    started = time.perf_counter()
    result = call(*arrays)
    peer.wait()
    row: dict[str, Any] = {"first": time.perf_counter() - started}
    call(*arrays)  # graphs, autotuning
    found = peer.numpy(
        result[:64] if getattr(result, "ndim", 0) and not isinstance(result, tw.Array) else result
    )
    row["result"] = found
    if expected is not None and found.shape == expected.shape:
        scale = np.abs(expected).max() or 1.0
        row["error"] = float(np.abs(found - expected).max() / scale)
        if not row["error"] <= TOLERANCE[case.arguments[0][1]]:
            return row
    if case.unit == "calls":
        row["seconds"] = host_seconds(lambda: call(*arrays), peer.wait, *((1, 1) if small else (5, 200)))
    else:
        row["seconds"] = seconds_per_call(lambda: call(*arrays), peer.wait, longest)
    return row


def shown(case: cases.Case, row: dict[str, Any], limits: dict[str, float]) -> str:
    """Write one cell: a rate and its part of the yardstick."""
    if "problem" in row:
        return row["problem"][:18]
    if "seconds" not in row:
        return f"WRONG {row['error']:.0e}" if row else "-"
    if case.unit == "calls":
        return f"{1e6 * row['seconds']:.2f} us"
    rate = case.amount / row["seconds"]
    text = f"{rate / 1e12:.2f} T{'B' if case.unit == 'bytes' else 'FLOP'}/s"
    return f"{text} {rate / limits[case.unit]:4.0%}" if case.unit in limits else text


def run(small: bool, longest: float, deadline: float, wanted: list[str] | None, only: str) -> dict[str, Any]:
    """Measure everything, printing rows as they come."""
    started = time.perf_counter()
    present = list(peers.present(wanted))
    maker = next((p for p in present if hasattr(p, "random")), None) or peers.Host()
    gpu = devices.describe(0)
    versions = {p.name: getattr(sys.modules.get(p.name.split(".")[0]), "__version__", "") for p in present}
    about = {
        "device": gpu["name"], "driver": gpu["driver"], "date": time.strftime("%Y-%m-%d"), "versions": versions,
        "python": platform.python_version(),
    }  # fmt: skip
    print(json.dumps(about))
    limits = yardsticks(maker, small, longest)
    for unit, value in limits.items():
        print(f"yardstick: {value / 1e12:.3f} T{unit}/s")
    print(f"{'case':44}" + "".join(f"{p.name:>26}" for p in present) + "   first calls (s)")
    table: dict[str, Any] = {}
    ratios: list[float] = []
    for case in cases.everything(small):
        if only not in case.name:
            continue
        if time.perf_counter() - started > deadline:
            print(f"{case.name:44}  out of time")
            continue
        sources = [maker.random(shape, dtype) for shape, dtype in case.arguments]
        expected: Any = None
        results: dict[str, dict[str, Any]] = {}
        for peer in sorted(present, key=lambda p: p.name != "torch"):
            try:
                row = measure(case, peer, sources, expected, longest, small)
            except Exception as problem:  # one library's trouble is a cell of the table
                row = {"problem": f"{type(problem).__name__}", "text": str(problem)[:500]}
                print(
                    f"  {peer.name}: {case.name}: {type(problem).__name__}: {str(problem)[:200]}",
                    file=sys.stderr,
                )
            if peer.name == "torch":
                expected = row.get("result")
            row.pop("result", None)
            results[peer.name] = row
        cells = "".join(f"{shown(case, results[p.name], limits):>26}" for p in present)
        firsts = " ".join(f"{results[p.name]['first']:.2f}" for p in present if "first" in results[p.name])
        print(f"{case.name:44}{cells}   {firsts}", flush=True)
        table[case.name] = {"unit": case.unit, "amount": case.amount, "results": results}
        ours, theirs = results["tilewright"].get("seconds"), results.get("torch", {}).get("seconds")
        if case.name.startswith("product") and ours and theirs:
            ratios.append(theirs / ours)
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"products: {mean:.0%} of torch's rate (geometric mean of {len(ratios)})")
    print(f"{time.perf_counter() - started:.0f} s")
    return {"about": about, "yardsticks": limits, "cases": table}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="small sizes: shows that the script works")
    parser.add_argument("--peers", help="comma-separated, of torch, torch.compile, cupy, jax; empty for none")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--output", type=Path, help="file for the numbers as JSON")
    options = parser.parse_args(arguments)
    try:
        devices.describe(0)
    except tw.DeviceError as problem:
        print(f"bench-gpu: no GPU to measure on: {problem.message}", file=sys.stderr)
        return 3
    wanted = None if options.peers is None else options.peers.split(",")
    found = run(options.dry_run, 0.0 if options.dry_run else LONGEST, 420.0, wanted, options.only)
    if options.output:
        options.output.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
