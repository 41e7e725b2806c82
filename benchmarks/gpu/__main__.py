"""`python -m benchmarks.gpu`: measure programs for a GPU and print a table.

The yardsticks are measured first: a copy of one GiB (bytes read and written), and a product of torch, 8192 cubed in
bfloat16 on normal numbers. Every result is compared with that of torch, where there is one; a wrong one has no rate.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tilewright as tw
from tilewright.runtime import devices

from . import cases, peers, table
from .timing import OutOfTime, host_seconds, limited, seconds_per_call, seconds_per_step

#: A peer stops being measured in a case after so many seconds, compiling apart.
LONGEST = 0.5
#: A row ends after so many seconds, and no row begins after the last; `make bench-gpu` ends within 8 minutes.
LONGEST_ROW = {"bytes": 30.0, "flops": 30.0, "calls": 30.0, "tokens": 100.0}
DEADLINE = 420.0
TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2, "float16": 1e-2}


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
    if case.unit == "tokens":
        return measure_steps(case, peer, expected, longest, small)
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
    if not compare(row, found, expected, TOLERANCE[case.arguments[0][1]]):
        return row
    if case.unit == "calls":
        row["seconds"] = host_seconds(lambda: call(*arrays), peer.wait, *((1, 1) if small else (5, 200)))
    else:
        row["seconds"] = seconds_per_call(lambda: call(*arrays), peer.wait, longest)
    return row


def measure_steps(
    case: cases.Case, peer: Any, expected: np.ndarray | None, longest: float, small: bool
) -> dict[str, Any]:
    """Measure the steps of a language model with one peer; the first one's logits are compared."""
    started = time.perf_counter()
    step = peer.stepper(case.functions)
    if step is None:
        return {}
    token = 3
    found = step(token)
    row: dict[str, Any] = {"first": time.perf_counter() - started}
    if not compare(row, np.asarray(found, np.float64), expected, TOLERANCE["bfloat16"]):
        return row

    def next_step() -> None:
        nonlocal token
        token = int(step(token).argmax())

    row["seconds"] = seconds_per_step(next_step, *((1, 1) if small else (10, 400)), 6 * longest)
    return row


def compare(row: dict[str, Any], found: np.ndarray, expected: np.ndarray | None, tolerance: float) -> bool:
    """Note a result and how wrong it is; return whether it is good enough to have a rate."""
    row["result"] = found
    if expected is None or found.shape != expected.shape:
        return True
    row["error"] = float(np.abs(found - expected).max() / (np.abs(expected).max() or 1.0))
    return row["error"] <= tolerance


def row_of(
    case: cases.Case, present: list[Any], maker: Any, longest: float, small: bool, budget: float
) -> Any:
    """Measure one case with everybody, torch first; who comes after the row's time is up is left out."""
    results: dict[str, dict[str, Any]] = {}
    expected: Any = None
    ends = time.perf_counter() + budget
    sources = [maker.random(shape, dtype) for shape, dtype in case.arguments]
    order = {"torch": 0, "tilewright": 1}
    for peer in sorted(present, key=lambda p: order.get(p.name, 2)):
        try:
            with limited(ends - time.perf_counter()):
                row = measure(case, peer, sources, expected, longest, small)
        except OutOfTime:
            row = {"problem": "out of time"}
        except Exception as problem:  # one library's trouble is a cell of the table
            row = {"problem": f"{type(problem).__name__}", "text": str(problem)[:500]}
            print(
                f"  {peer.name}: {case.name}: {type(problem).__name__}: {str(problem)[:200]}", file=sys.stderr
            )
        if peer.name == "torch":
            expected = row.get("result")
        row.pop("result", None)
        results[peer.name] = row
    return results


def printed(case: cases.Case, results: dict[str, Any], limits: dict[str, float]) -> str:
    """Write one line of the table: a cell for each library, present or not, and the first calls."""
    cells = "".join(
        f"{table.cell(case.unit, case.amount, results.get(p.name), limits):>24}" for p in peers.COLUMNS
    )
    firsts = " ".join(
        f"{results[p.name]['first']:.2f}" for p in peers.COLUMNS if "first" in results.get(p.name, {})
    )
    return f"{case.name:46}{cells}   {firsts}"


def header() -> str:
    return f"{'case':46}" + "".join(f"{p.name:>24}" for p in peers.COLUMNS) + "   first calls (s)"


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
    print(header())
    found: dict[str, Any] = {}
    for case in cases.everything(small):
        if only not in case.name:
            continue
        left = deadline - (time.perf_counter() - started)
        if left <= 0:
            print(f"{case.name:46}  out of time")
            continue
        results = row_of(case, present, maker, longest, small, min(left, LONGEST_ROW[case.unit]))
        print(printed(case, results, limits), flush=True)
        found[case.name] = {"unit": case.unit, "amount": case.amount, "results": results}
    for line in table.summary(found):
        print(line)
    print(f"{time.perf_counter() - started:.0f} s")
    return {"about": about, "yardsticks": limits, "cases": found}


def listed(only: str) -> None:
    """Print the table without a number in it: what would be measured."""
    print(header())
    for case in cases.everything(small=False):
        if only in case.name:
            print(printed(case, {}, {}))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument(
        "--dry-run", action="store_true",
        help="small sizes: shows that the script works; without a GPU, what it would measure",
    )  # fmt: skip
    names = ", ".join(column.name for column in peers.COLUMNS[1:])
    parser.add_argument("--peers", help=f"comma-separated, of {names}; empty for none")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--output", type=Path, help="file for the numbers as JSON")
    options = parser.parse_args(arguments)
    try:
        devices.describe(0)
    except tw.DeviceError as problem:
        print(f"bench-gpu: no GPU to measure on: {problem.message}", file=sys.stderr)
        if options.dry_run:
            listed(options.only)
        return 0 if options.dry_run else 3
    wanted = None if options.peers is None else options.peers.split(",")
    found = run(options.dry_run, 0.0 if options.dry_run else LONGEST, DEADLINE, wanted, options.only)
    if options.output:
        options.output.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
