"""The loop that runs over vector lanes, and the config of an operation that has one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..facts import OpFacts
from .config import Config, Machine


def lanes(machine: Machine) -> int:
    """32-bit elements in one vector register."""
    return machine.vector_bits // 32


@dataclass(frozen=True)
class LaneCost:
    """A loop that could run over lanes.

    Attributes:
        loop: its number.
        adjacent: operands that lie side by side along it, or are the same for all lanes.
        cost: vector accesses beyond the fewest, for each vector of the loop: a strided operand is gathered (4), a sum
            across lanes has to be combined at its end (0.5), a loop that fills no vector wastes lanes (2; 4 with one
            trip).
    """

    loop: int
    adjacent: int
    cost: float

    def __str__(self) -> str:
        return f"lanes along d{self.loop}: {self.cost:g} extra accesses a vector"


def lane_costs(op: OpFacts, machine: Machine) -> list[LaneCost]:
    """Return every loop of an operation with what lanes along it cost, the cheapest one first."""
    found = []
    for loop in range(len(op.loops)):
        size = op.ranges[loop]
        strided = sum(1 for a in op.accesses if not a.contiguous_along(loop))
        outputs_vary = any(loop in a.dims() for a in op.outputs)
        cost = 4.0 * strided + (0 if outputs_vary else 0.5)
        if size is not None and size < lanes(machine):
            cost += 2.0 + (2.0 if size == 1 else 0.0)
        found.append(LaneCost(loop, len(op.accesses) - strided, cost))
    # Between equals the later loop: it is the innermost of the row-major result.
    return sorted(found, key=lambda c: (c.cost, -c.loop))


def pick_lane(op: OpFacts, machine: Machine) -> tuple[int, str]:
    """Choose the loop that runs over vector lanes: the one with the fewest strided operands.

    Returns:
        The loop, or -1 where no loop reads enough operands contiguously, and the reason.
    """
    costs = lane_costs(op, machine)
    if not costs:
        return -1, "no loops"
    best = costs[0]
    if best.cost >= 4.0:
        lane, across = transposed_loops(op, machine)
        if across >= 0:
            return lane, f"squares of d{across} and d{lane} are turned in registers"
        return -1, "every loop strides through an operand"
    return best.loop, f"loop d{best.loop} reads {best.adjacent} of {len(op.accesses)} operands contiguously"


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
    if "tw.lowering" in op.attributes and not op.runs():
        return Config(
            why="sequential or strided by construction", **{k: v for k, v in sizes.items() if k != "tile"}
        )
    if any(a.bits == 1 for a in op.accesses):
        return Config(why="booleans are bytes in memory", **sizes)
    lane, why = pick_lane(op, machine)
    costs = lane_costs(op, machine)
    weighed = tuple(map(str, costs)) if len(costs) > 1 else ()
    if lane < 0:
        return Config(why=why, candidates=weighed, **sizes)
    return Config(
        lane=lane,
        vector=lanes(machine),
        unroll=unroll,
        lowering="vector",
        why=why,
        candidates=weighed,
        **sizes,
    )
