"""The arithmetic of the table: cells, and the lines below it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]
Limits = Mapping[str, float]


def cell(unit: str, amount: float, row: Row | None, limits: Limits) -> str:
    """Write a result: a rate, and its part of the yardstick; or why there is none.

    Args:
        unit: of the case: "bytes", "flops", "calls" or "tokens".
        amount: bytes or operations of a call, or of a step.
        row: what was measured; None for a library that is not there.
        limits: yardsticks per second by unit.
    """
    if row is None:
        return "absent"
    if "problem" in row:
        return row["problem"][:18]
    if "seconds" not in row:
        return f"WRONG {row['error']:.0e}" if row else "-"
    if unit == "calls":
        return f"{1e6 * row['seconds']:.2f} us"
    if unit == "tokens":
        text, part = f"{1 / row['seconds']:.0f} tokens/s", "bytes"
    else:
        text = f"{amount / row['seconds'] / 1e12:.2f} T{'B' if unit == 'bytes' else 'FLOP'}/s"
        part = unit
    return f"{text} {amount / row['seconds'] / limits[part]:4.0%}" if amount and part in limits else text


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean of positive numbers, at least one."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def ratio(row: Mapping[str, Row | None], peer: str) -> float | None:
    """Return how many times as fast we are as a peer; None if one of both has no time."""
    ours, theirs = row.get("tilewright"), row.get(peer)
    if not ours or not theirs or "seconds" not in ours or "seconds" not in theirs:
        return None
    return theirs["seconds"] / ours["seconds"]


def summary(table: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the lines below the table: products and language models against torch."""
    lines = []
    products = [
        found
        for name, case in table.items()
        if name.startswith("product") and (found := ratio(case["results"], "torch"))
    ]
    if products:
        lines.append(
            f"products: {geometric_mean(products):.0%} of torch's rate (geometric mean of {len(products)})"
        )
    for name, case in table.items():
        if case["unit"] == "tokens" and (found := ratio(case["results"], "torch.compile")):
            lines.append(f"{name}: {found:.2f} times torch.compile's rate")
    return lines
