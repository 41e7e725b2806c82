"""Turns results into the page and the plot in docs/performance: `python -m benchmarks.render FILE.jsonl…`.

The files are what `python -m benchmarks --json` or `--output` wrote; of a (workload, system) measured several times the
last row counts. Nothing on the page is written by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import load, report
from .runner import Result
from .systems import SYSTEMS

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "performance"


def read(files: Iterable[Path]) -> tuple[list[dict[str, Any]], dict[str, list[Result]]]:
    """Return the heads (machine and ceilings of each run) and the results by workload."""
    heads, rows = [], {}
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if "machine" in row:
                heads.append(row)
            else:
                rows.setdefault(row["workload"], {})[row["system"]] = Result(**row)
    return heads, {workload: list(found.values()) for workload, found in rows.items()}


def best_peer(results: list[Result]) -> Result | None:
    """Return the fastest peer with a correct result."""
    peers = [r for r in results if r.system != "tilewright" and r.correct and r.p50_ms is not None]
    return min(peers, key=lambda r: r.p50_ms or 0.0, default=None)


def _cell(result: Result | None) -> str:
    if result is None:
        return "–"
    if result.not_offered is not None:
        return f"not offered ({result.not_offered})"
    if result.error is not None:
        return f"failed ({result.error})"
    return report.time_text(result.p50_ms) + ("" if result.correct else " (wrong result)")


def _rows(by_workload: dict[str, list[Result]]) -> Iterable[str]:
    for workload, results in by_workload.items():
        ours = next((r for r in results if r.system == "tilewright"), None)
        peer = best_peer(results)
        times = report.ratio(peer, results) if peer else None
        roof = f"{ours.roofline:.0%}" if ours and ours.roofline is not None else "–"
        error = f"{ours.max_error:.0e}" if ours and ours.max_error is not None else "–"
        rounds = f"{ours.rounds} (−{ours.dropped_rounds})" if ours else "–"
        cells = [
            f"`{workload}`", f"{ours.threads}" if ours else "–", _cell(ours),
            f"{peer.system} {_cell(peer)}" if peer else "–", f"{times:.2f} ×" if times else "–", roof, error, rounds,
        ]  # fmt: skip
        yield "| " + " | ".join(cells) + " |"


def _all_rows(by_workload: dict[str, list[Result]], systems: list[str]) -> Iterable[str]:
    for workload, results in by_workload.items():
        found = {r.system: r for r in results}
        cells = [report.time_text(r.p50_ms) if (r := found.get(s)) and r.correct else "–" for s in systems]
        yield f"| `{workload}` | " + " | ".join(cells) + " |"


def _ceilings(heads: list[dict[str, Any]]) -> Iterable[str]:
    for head in heads:
        flops = ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in head["flops"].items())
        read = ", ".join(f"{level} {rate / 1e9:.0f} GB/s" for level, rate in head["read"].items())
        yield f"| {head['threads']} | {flops} | {read} |"


def page(heads: list[dict[str, Any]], by_workload: dict[str, list[Result]]) -> str:
    """Return the page."""
    results = [r for found in by_workload.values() for r in found]
    systems = [s for s in SYSTEMS if any(r.system == s and r.p50_ms is not None for r in results)]
    versions = {
        s: ", ".join(dict.fromkeys(r.version for r in results if r.system == s and r.version))
        for s in systems
    }
    times = sorted(r.at for r in results if r.at)
    machine = heads[-1]["machine"]
    foreign = max((r.foreign or 0.0 for r in results), default=0.0)
    sweeps = [
        (workload, r.system, summary)
        for workload, found in by_workload.items()
        for r in found
        if (summary := report.sweep_summary(r, found))
    ]
    lines = [
        "# Results",
        "",
        "Written by `python -m benchmarks.render` from [results.jsonl](results.jsonl). How it is measured:"
        " [Performance](README.md).",
        "",
        f"- Machine: {machine['cpu']}, {machine['cores']} cores, Python {machine['python']}.",
        f"- When: {times[0].replace('T', ' ')} to {times[-1].replace('T', ' ')}.",
        "- Systems: " + "; ".join(f"{s} {versions[s]}" for s in systems) + ".",
        f"- Foreign load in the rounds that were kept: at most {foreign:.2f} cores (the default limit: {load.LIMIT}).",
        "",
        "Ceilings measured in the same runs, one row for each run:",
        "",
        "| threads | arithmetic | read |",
        "|---|---|---|",
        *dict.fromkeys(_ceilings(heads)),
        "",
        "![Times of the best peer over those of Tilewright](results.svg)",
        "",
        "## Against the best peer",
        "",
        "Times are medians of a call. The ratio is the best peer's time over Tilewright's: above 1, Tilewright is"
        " faster. A row of a first call (`compile_*`, `warm_*`) is the time to the first result.",
        "",
        "| workload | threads | Tilewright | best peer | ratio | of roof | error | rounds (dropped) |",
        "|---|---|---|---|---|---|---|---|",
        *_rows(by_workload),
        "",
        *(
            f"`{workload}`: {system}'s time over Tilewright's has a geometric mean of {s['geometric_mean']:.2f}; it is"
            f" at least 0.9 on {s['share_above_0.9']:.1%} of the shapes; the least is {s['least']:.2f} ({s['at']}).\n"
            for workload, system, s in sweeps
        ),
        "## All systems",
        "",
        "| workload | " + " | ".join(systems) + " |",
        "|---" * (len(systems) + 1) + "|",
        *_all_rows(by_workload, systems),
        "",
    ]
    return "\n".join(lines)


def plot(by_workload: dict[str, list[Result]], path: Path) -> None:
    """Draw the ratios as bars."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "tilewright"  # the same data give the same file
    from matplotlib import pyplot

    bars = []
    for workload, results in by_workload.items():
        peer = best_peer(results)
        times = report.ratio(peer, results) if peer else None
        if peer and times:
            bars.append((workload, times, peer.system))
    figure, axes = pyplot.subplots(figsize=(8, 0.26 * len(bars) + 1), layout="constrained")
    places = range(len(bars), 0, -1)
    axes.barh(places, [times - 1 for _, times, _ in bars], left=1, height=0.7,
              color=["#2b5c92" if times >= 1 else "#b4564a" for _, times, _ in bars])  # fmt: skip
    for at, (_, times, system) in zip(places, bars, strict=True):
        axes.annotate(f" {times:.2f} × {system} ", (times, at), va="center", fontsize=7,
                      ha="left" if times >= 1 else "right")  # fmt: skip
    axes.set_yticks(list(places), [workload for workload, _, _ in bars], fontsize=7)
    axes.axvline(1, color="0.3", lw=1)
    axes.set(
        xscale="log", xlabel="time of the best peer over that of Tilewright (above 1: Tilewright is faster)"
    )
    low, high = min(t for _, t, _ in bars), max(t for _, t, _ in bars)
    axes.set_xlim(low / 2, high * 2.5)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main(argv: list[str] | None = None) -> int:
    """Write results.md, results.svg and results.jsonl."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.render", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.jsonl")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to (docs/performance)")
    options = parser.parse_args(argv)
    heads, by_workload = read(options.files)
    if not heads or not by_workload:
        print("no results in these files", file=sys.stderr)
        return 2
    order = {name: i for i, name in enumerate(report.names())}
    by_workload = dict(sorted(by_workload.items(), key=lambda item: order.get(item[0], len(order))))
    options.folder.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps(head) for head in heads]
    rows += [report.json_line(r) for results in by_workload.values() for r in results]
    (options.folder / "results.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (options.folder / "results.md").write_text(page(heads, by_workload), encoding="utf-8")
    plot(by_workload, options.folder / "results.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
