"""The loop that runs over vector lanes, and the config of an operation that has one."""

from __future__ import annotations

from typing import Any

from ..facts import OpFacts
from .config import Config, Machine


def lanes(machine: Machine) -> int:
    """32-bit elements in one vector register."""
    return machine.vector_bits // 32


def pick_lane(op: OpFacts, machine: Machine) -> tuple[int, str]:
    """Choose the loop that runs over vector lanes: the one with the fewest strided operands.

    Returns:
        The loop, or -1 where no loop reads enough operands contiguously, and the reason.
    """
    best, best_cost, reason = -1, 1e9, "no loops"
    for loop in range(len(op.loops)):
        size = op.ranges[loop]
        strided = sum(1 for a in op.accesses if not a.contiguous_along(loop))
        outputs_vary = any(loop in a.dims() for a in op.outputs)
        cost = 4.0 * strided + (0 if outputs_vary else 0.5)
        if size is not None and size < lanes(machine):
            cost += 2.0 + (2.0 if size == 1 else 0.0)
        # Between equals the later loop: it is the innermost of the row-major result.
        if cost <= best_cost:
            best, best_cost = loop, cost
            reason = (
                f"loop d{loop} reads {len(op.accesses) - strided} of {len(op.accesses)} operands contiguously"
            )
    if best_cost >= 4.0:
        lane, across = transposed_loops(op, machine)
        if across >= 0:
            return lane, f"squares of d{across} and d{lane} are turned in registers"
        return -1, "every loop strides through an operand"
    return best, reason


def transposed_loops(op: OpFacts, machine: Machine) -> tuple[int, int]:
    """Two loops whose squares can be transposed in registers.

    Returns:
        The loop along which results are contiguous, and the one along which every operand is that strides along the
        first; (-1, -1) where there are none.
    """
    none = (-1, -1)
    if op.reductions() or any(not a.results for a in op.outputs):
        return none
    wide = [d for d in op.parallel() if op.ranges[d] is None or (op.ranges[d] or 0) >= lanes(machine)]
    for lane in wide:
        if not all(a.results[-1] == f"d{lane}" and a.contiguous_along(lane) for a in op.outputs):
            continue
        strided = [a for a in op.inputs if not a.contiguous_along(lane)]
        for across in wide:
            if across != lane and all(
                a.results[-1] == f"d{across}" and a.contiguous_along(across) and f"d{lane}" in a.results
                for a in strided
            ):
                return lane, across
    return none


def vectorised(op: OpFacts, machine: Machine, unroll: int, **sizes: Any) -> Config:
    if "tw.lowering" in op.attributes:
        return Config(
            why="sequential or strided by construction", **{k: v for k, v in sizes.items() if k != "tile"}
        )
    if any(a.bits == 1 for a in op.accesses):
        return Config(why="booleans are bytes in memory", **sizes)
    lane, why = pick_lane(op, machine)
    if lane < 0:
        return Config(why=why, **sizes)
    return Config(lane=lane, vector=lanes(machine), unroll=unroll, lowering="vector", why=why, **sizes)
