"""Shows kernels under the machine's ceilings: a table for the terminal, a plot where matplotlib is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from .. import errors
from .ceilings import Ceilings
from .kernels import Measured


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{1e6 * seconds:.3g} µs" if seconds < 1e-3 else f"{1e3 * seconds:.3g} ms"


def _rate(amount: float | None, seconds: float | None) -> str:
    return "–" if amount is None or not seconds else f"{amount / seconds / 1e9:.3g}"


def table(kernels: Sequence[Measured], ceilings: Ceilings) -> str:
    """Return a line per kernel, and what all calls of all kernels take together."""
    lines = [
        f"ceilings, {ceilings.threads} threads: {ceilings.describe()}",
        "",
        f"{'kernel':<12}{'calls':>6}{'share':>7}{'hot':>10}{'cold':>10}{'GFLOP/s':>9}{'GB/s':>7}{'flops/B':>9}"
        f"{'of roof':>9}  lines",
    ]
    total = sum(k.calls * k.cold_s for k in kernels if k.cold_s is not None)
    for k in kernels:
        share = f"{k.calls * k.cold_s / total:.0%}" if k.cold_s is not None and total else "–"
        roof = k.share_of_roof(ceilings)
        intensity = f"{k.flops / k.bytes:.2f}" if k.flops is not None and k.bytes else "–"
        where = ", ".join(line.rsplit("/", 1)[-1] for line in k.lines[:2])
        lines.append(
            f"{k.name:<12}{k.calls:>6}{share:>7}{_time(k.hot_s):>10}{_time(k.cold_s):>10}"
            f"{_rate(k.flops, k.cold_s):>9}{_rate(k.bytes, k.cold_s):>7}{intensity:>9}"
            f"{f'{roof:.0%}' if roof is not None else '–':>9}  {k.reason or where}"
        )
    lines += [
        "",
        f"all calls, cold: {_time(total)}. Hot calls run again and again on the same arrays; cold ones find theirs in"
        " memory, and rates and the fraction of the roof are theirs.",
    ]
    return "\n".join(lines)


def need_matplotlib(path: str) -> None:
    """Say that matplotlib is missing before anything is measured.

    Args:
        path: where the plot would go.

    Raises:
        ArgumentError: it is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise errors.ArgumentError(
            f"{path}: the plot needs matplotlib",
            help="pip install 'tilewright[plot]'; the table needs nothing.",
        )


def plot(kernels: Sequence[Measured], ceilings: Ceilings, path: str, title: str) -> None:
    """Write the roofline plot; the format follows the name (.svg, .png).

    Raises:
        ArgumentError: matplotlib is not installed.
    """
    need_matplotlib(path)
    import matplotlib

    matplotlib.use("Agg")  # files only: no display is needed
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5.5), layout="constrained")
    points = [k for k in kernels if k.cold_s and k.flops and k.bytes]
    intensities = [k.flops / k.bytes for k in points if k.flops and k.bytes]
    low, high = min([0.05, *intensities]) / 1.5, max([200.0, *intensities]) * 1.5
    peak = max(ceilings.flops.values(), default=1e9)
    for level, rate in ceilings.read.items():
        knee = peak / rate
        axes.plot([low, min(knee, high)], [low * rate / 1e9, min(knee, high) * rate / 1e9], color="0.6", lw=1)
        axes.annotate(
            f"{level} {rate / 1e9:.0f} GB/s", (low * 1.2, low * 1.2 * rate / 1e9), color="0.4", fontsize=8,
            rotation=0, va="bottom",
        )  # fmt: skip
    for name, rate in ceilings.flops.items():
        axes.plot([low, high], [rate / 1e9] * 2, color="0.3", lw=1)
        axes.annotate(
            f"{name} {rate / 1e9:.0f} GFLOP/s", (high, rate / 1e9), ha="right", va="bottom", fontsize=8
        )
    total = sum(k.calls * k.cold_s for k in points if k.cold_s)
    for k in points:
        assert k.cold_s and k.flops and k.bytes
        # The area of a point is the kernel's share of the time.
        size = 20 + 400 * k.calls * k.cold_s / total
        x, y = k.flops / k.bytes, k.flops / k.cold_s / 1e9
        axes.scatter([x], [y], s=size, alpha=0.6, edgecolors="white")
        if k.calls * k.cold_s > 0.02 * total:
            axes.annotate(k.name, (x, y), fontsize=8, xytext=(6, 4), textcoords="offset points")
    axes.set(xscale="log", yscale="log", xlim=(low, high), xlabel="operations per byte", ylabel="GFLOP/s")
    axes.set_title(f"{title}, {ceilings.threads} threads, cold", fontsize=10)
    axes.grid(True, which="major", color="0.92")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
