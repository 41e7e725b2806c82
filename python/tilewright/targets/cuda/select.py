"""How threads share each computation of a kernel: a pure function from facts to configs.

- *tiles*, *mma*: a product of two operands. A block of threads computes a tile of the result from tiles in shared
  memory; `mma` multiplies f16 and bf16 on tensor cores.
- *warps*, *blocks*: a reduction whose elements lie next to each other. So many threads share each result.
- *points*: everything else. One thread computes one result, or several neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ..facts import KernelFacts, OpFacts

#: Elements of a result from which on a whole block reduces them.
BLOCK_LENGTH = 4096
#: As long as there are no more results than this, shorter ones get a block, too: warps alone would leave the GPU idle.
FEW_RESULTS = 256
FEW_LENGTH = 512
#: Rows of a product below which most of a tile would be empty.
FEW_ROWS = 4


@dataclass(frozen=True)
class Machine:
    """The facts of ``#tw.target`` that a GPU's configs follow from."""

    arch: str = "sm_80"

    @property
    def capability(self) -> int:
        """80 for sm_80 and 90 for sm_90a."""
        return int("".join(c for c in self.arch.removeprefix("sm_") if c.isdigit()))


@dataclass(frozen=True)
class Config:
    """One ``#tw.config``: a GPU needs its ``lowering`` alone. ``why`` goes to ``explain()``."""

    lowering: str
    why: str
    #: Register tiles that were weighed against each other: a GPU's are fixed.
    candidates: tuple[str, ...] = ()

    def text(self) -> str:
        """The attribute as MLIR text."""
        return (
            "#tw.config<workgroup = [], tile = [], lane = -1, vector = 1, unroll = 1, "
            f'lowering = "{self.lowering}">'
        )

    def attributes(self) -> dict[str, str]:
        """What is written on the operation."""
        return {"tw.config": self.text()}


def _count(op: OpFacts, loops: list[int]) -> int | None:
    sizes = [op.ranges[loop] for loop in loops]
    return None if None in sizes else prod(size for size in sizes if size is not None)


def _product(op: OpFacts) -> Config:
    outer = set(op.parallel())
    # Loops of one side alone: its rows, or its columns.
    for access in op.inputs:
        own = [d for d in outer & access.dims() if any(d not in other.dims() for other in op.inputs)]
        size = _count(op, own)
        if access.dims() and size is not None and size <= FEW_ROWS and len(op.inputs) == 2:
            return Config("warps", f"{size} rows would leave most of a tile empty: a warp sums each result")
    if any(a.bits == 16 and a.results for a in op.inputs):
        return Config("mma", "tiles in shared memory; f16 and bf16 factors on tensor cores")
    return Config("tiles", "tiles in shared memory, fused multiply-adds in registers")


def _reduction(op: OpFacts) -> Config:
    inner = op.reductions()
    last = inner[-1]
    if not any(a.contiguous_along(last) and last in a.dims() for a in op.inputs):
        return Config("points", "neighbouring results lie next to each other: a thread sums each")
    length, results = _count(op, inner), _count(op, op.parallel())
    if length is not None and length < 8:
        return Config("points", "too few elements to share")
    if length is not None and (
        length >= BLOCK_LENGTH or (results is not None and results <= FEW_RESULTS and length >= FEW_LENGTH)
    ):
        return Config("blocks", "a block sums each result: long, or few")
    return Config("warps", "a warp sums each result")


def _config(op: OpFacts) -> Config:
    if "tw.lowering" in op.attributes:
        return Config("points", "in order by construction: a thread keeps it")
    if op.contracts():
        return _product(op)
    if op.reductions():
        return _reduction(op)
    return Config("points", "each result for itself, neighbours in one transaction where arrays allow it")


def select(kernel: KernelFacts, machine: Machine) -> list[Config]:
    """Choose a config for every operation of a kernel.

    Args:
        kernel: facts of its operations.
        machine: facts of the GPU.

    Returns:
        One config per operation, in order.
    """
    return [_config(op) for op in kernel.ops]
