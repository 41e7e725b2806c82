"""A core shared with another process: the same workloads while a neighbour computes.

A library that waits for its slowest thread at every parallel loop loses far more than the half core that is taken.
"""

from __future__ import annotations

import copy

from ..workload import REGISTRY, Workload, register
from . import matmul, models, networks, rows  # noqa: F401  (these register first)


def shared(of: Workload) -> Workload:
    """Return a workload as `NAME_shared`, timed while another process computes on the same processors."""
    workload = copy.copy(of)
    workload.name = f"{of.name}_shared"
    workload.neighbour = True
    return workload


register(
    shared(REGISTRY[name])
    for name in ("matmul_f32_512", "softmax_4096x768", "ranker_f32_1", "minilm_f32_1x128", "smollm2_decode")
)
