"""Prints results: JSON lines for programs, a table with ratios for people."""

from __future__ import annotations

import dataclasses
import json
import re
import statistics
from collections.abc import Iterable

from .runner import Result
from .workloads import all_workloads


def names() -> list[str]:
    """Return the workloads in the order of a report: parts first, then models, then what starts them."""
    first_calls = ("compile_", "warm_", "call_")
    models = ("smollm2", "minilm", "gpt2", "mlp", "ranker")

    def rank(name: str) -> tuple[int, str]:
        kind = 2 if name.startswith(first_calls) else 1 if name.startswith(models) else 0
        # Numbers in names sort as numbers: 512 before 1024.
        return kind, re.sub(r"\d+", lambda digits: digits[0].zfill(6), name)

    return sorted(all_workloads(), key=rank)


def json_line(result: Result) -> str:
    """Return one result as a JSON object on one line."""
    row = {
        key: round(value, 9) if isinstance(value, float) else value
        for key, value in dataclasses.asdict(result).items()
    }
    return json.dumps(row, allow_nan=False, default=str) if row["max_error"] != float("inf") else json.dumps(
        {**row, "max_error": None}
    )  # fmt: skip


def ratio(result: Result, results: Iterable[Result]) -> float | None:
    """Return how many times longer `result` took than Tilewright; None where either has no correct time."""
    ours = next((r for r in results if r.system == "tilewright"), None)
    if ours is None or not (ours.p50_ms and ours.correct and result.p50_ms and result.correct):
        return None
    return result.p50_ms / ours.p50_ms


def sweep_summary(result: Result, results: Iterable[Result]) -> dict[str, float | str] | None:
    """Return how a peer's times compare with Tilewright's over the parts of a sweep.

    Returns:
        `geometric_mean` of (peer's time / ours), `share_above_0.9` of the parts, `least` ratio and its part `at`; None
        where either has no parts.
    """
    ours = next((r for r in results if r.system == "tilewright"), None)
    if ours is None or ours is result or not ours.parts_ms or not result.parts_ms:
        return None
    ratios = {name: ms / ours.parts_ms[name] for name, ms in result.parts_ms.items()}
    at = min(ratios, key=ratios.__getitem__)
    return {
        "geometric_mean": statistics.geometric_mean(ratios.values()),
        "share_above_0.9": sum(r >= 0.9 for r in ratios.values()) / len(ratios),
        "least": ratios[at],
        "at": at,
    }


def time_text(ms: float | None) -> str:
    """Return a time as text, with three digits and its unit."""
    if ms is None:
        return "–"
    if ms < 0.1:
        return f"{ms * 1e3:.3g} µs"
    return f"{ms:.3g} ms" if ms < 1000 else f"{ms / 1000:.3g} s"


HEADER = (
    f"{'system':<15}{'threads':>8}{'p50':>10}{'p99':>10}{'vs tilewright':>15}{'of roof':>9}{'compile':>10}"
    f"{'max error':>11}{'rounds':>8}"
)


def table(results: list[Result]) -> str:
    """Return the results of one workload as text, the fastest correct system first."""
    lines = [results[0].workload, HEADER]
    for r in sorted(results, key=lambda r: (not r.correct, r.p50_ms if r.p50_ms else float("inf"))):
        if r.not_offered is not None:
            lines.append(f"{r.system:<15}{r.threads:>8}  not offered: {r.not_offered}")
            continue
        if r.error is not None:
            lines.append(f"{r.system:<15}{r.threads:>8}  failed: {r.error}")
            continue
        times = ratio(r, results)
        lines.append(
            f"{r.system:<15}{r.threads:>8}{time_text(r.p50_ms):>10}{time_text(r.p99_ms):>10}"
            f"{f'{times:.2f} ×' if times else '–':>15}"
            f"{f'{r.roofline:.0%}' if r.roofline is not None else '–':>9}"
            f"{time_text(r.compile_s * 1e3) if r.compile_s is not None else '–':>10}"
            f"{f'{r.max_error:.1e}' if r.max_error is not None else '–':>11}"
            f"{r.rounds:>5}{f'(-{r.dropped_rounds})' if r.dropped_rounds else '':<5}"
            f"{'' if r.correct else ' WRONG RESULT'}"
            f"{f' library loaded in {time_text(r.load_ms)}' if r.load_ms is not None else ''}".rstrip()
        )
        if summary := sweep_summary(r, results):
            lines.append(
                f"  {r.system}'s time over ours: geometric mean {summary['geometric_mean']:.2f}, at least 0.9 on"
                f" {summary['share_above_0.9']:.1%} of the shapes, least {summary['least']:.2f} ({summary['at']})"
            )
    return "\n".join(lines)
