"""The suite: importing the families registers their workloads."""

from __future__ import annotations

from ..workload import REGISTRY, Workload
from . import (
    attention,
    calls,
    elementwise,
    first_calls,
    matmul,
    models,
    networks,
    quantised,
    rows,
    shared,
    sweep,
)

__all__ = [
    "all_workloads",
    "attention",
    "calls",
    "elementwise",
    "first_calls",
    "matmul",
    "models",
    "networks",
    "quantised",
    "rows",
    "shared",
    "sweep",
]  # fmt: skip


def all_workloads() -> dict[str, Workload]:
    """Return the suite by name, in the order in which the families register."""
    return REGISTRY
