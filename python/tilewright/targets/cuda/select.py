"""How threads share each computation of a kernel: a pure function from facts to configs.

- *tiles*, *mma*: a product of two operands. A block of threads computes a tile of the result from tiles in shared
  memory; `mma` multiplies f16, bf16 and int8 on tensor cores, and f32 where its factors may be rounded to TF32.
- *dots*: a product of few rows with many rows of weights. A group of threads has its parts of the few rows in registers
  and goes along the weights (`dots.py`).
- *wgmma*: the same as `mma` on sm_90a, in larger tiles which the copying unit brings.
- *attention*, *warpgroup_attention*, *plain_attention*: two products and the softmax between them, on tensor cores (by
  warpgroups on sm_90a) or by multiply-adds; warps and blocks share rows, or the keys of a row (`attention.py`).
- *rows*: reductions whose elements lie next to each other, and what is computed of each element, or each row, between
  them. A group of threads does all of that for one row (`rows.py`).
- *runs*: running totals along elements that lie next to each other: a group of threads per row (`runs.py`).
- *points*: everything else. One thread computes one result, or several neighbours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod

from ..facts import KernelFacts, OpFacts
from . import attention, dots, rows, runs

#: Elements below which a thread sums a row for itself.
SHORT_ROW = 8
#: Rows of a product below which most of a tile would be empty.
FEW_ROWS = 4
_PLAIN = re.compile(r"d\d+|0")
#: What a size that is known only at run time is taken for.
UNKNOWN_SIZE = 512


@dataclass(frozen=True)
class Machine:
    """The facts of ``#tw.target`` that a GPU's configs follow from."""

    arch: str = "sm_80"

    @property
    def capability(self) -> int:
        """80 for sm_80 and 90 for sm_90a."""
        return int("".join(c for c in self.arch.removeprefix("sm_") if c.isdigit()))

    @property
    def has_warpgroups(self) -> bool:
        """Whether warpgroups multiply (`wgmma`): sm_90a, and no other, older or newer."""
        return self.arch == "sm_90a"

    @property
    def processors(self) -> int:
        """Multiprocessors of the usual GPU of this architecture: so many blocks at least keep it busy."""
        return 132 if self.capability >= 90 else 108


@dataclass(frozen=True)
class TensorTile:
    """Sizes of a product on tensor cores: what a block computes, how deep, how many tiles are in shared memory, and
    what a warp computes."""

    rows: int
    columns: int
    depth: int
    stages: int
    warp_rows: int
    warp_columns: int

    @property
    def shared_bytes(self) -> int:
        """Memory of the ring of tiles, with elements of 16 bits."""
        return (self.rows + self.columns) * self.depth * 2 * self.stages


#: From large to small. All fit the 48 KB that any kernel may have; a warp's sums fit its registers.
TENSOR_TILES = (
    TensorTile(128, 128, 32, 3, 64, 64),
    TensorTile(128, 64, 32, 4, 64, 32),
    TensorTile(64, 64, 32, 4, 32, 32),
)


#: For fused multiply-adds, from large to small: a thread has 64 sums, or 16.
PLAIN_TILES = (TensorTile(128, 128, 8, 4, 8, 8), TensorTile(64, 64, 16, 4, 4, 4))


@dataclass(frozen=True)
class Config:
    """One ``#tw.config``: a GPU needs its ``lowering``, and ``tile``: the numbers that go with it (Cuda.td says which).
    ``why`` goes to ``explain()``."""

    lowering: str
    why: str
    tile: tuple[int, ...] = ()
    #: Register tiles that were weighed against each other: a GPU's are fixed.
    candidates: tuple[str, ...] = ()

    def text(self) -> str:
        """The attribute as MLIR text."""
        return (
            f"#tw.config<workgroup = [], tile = {list(self.tile)}, lane = -1, vector = 1, unroll = 1, "
            f'lowering = "{self.lowering}">'
        )

    def attributes(self) -> dict[str, str]:
        """What is written on the operation."""
        return {"tw.config": self.text()}


@dataclass(frozen=True)
class WarpgroupTile:
    """Sizes of a product by warpgroups: what a block computes at a time, how deep, how many tiles of factors are in
    shared memory, and how long it takes in proportion to its size.

    Attributes:
        cost: the time of one result in that of one of a tile of 128 by 256, which reads the least per product.
    """

    rows: int
    columns: int
    depth: int
    stages: int
    cost: float

    @property
    def shared_bytes(self) -> int:
        """Memory of the ring of tiles, with elements of 16 bits, its barriers, and results on their way out.

        Elements of 8 bits are twice as many.
        """
        return (self.rows + self.columns) * self.depth * 2 * self.stages + 32 * 1024 + 16 * self.stages


#: What a tile costs where two blocks share the right factor, of what it costs alone: they read a third less.
SHARED_COST = 0.95
#: For `wgmma`: two warpgroups with 64 rows each. Most of a multiprocessor's memory is theirs.
WARPGROUP_TILES = (WarpgroupTile(128, 256, 64, 4, 1.0), WarpgroupTile(128, 128, 64, 6, 1.15))


def _count(op: OpFacts, loops: list[int]) -> int | None:
    sizes = [op.ranges[loop] for loop in loops]
    return None if None in sizes else prod(size for size in sizes if size is not None)


@dataclass(frozen=True)
class _Results:
    """Sizes of a product's result, and whether its factors are arrays that the copying unit can cut tiles out of.

    Attributes:
        known: whether all of them are; else some are what unknown sizes are taken for.
    """

    batch: int
    rows: int
    columns: int
    known: bool
    plain: bool
    bits: int

    def tiles(self, rows: int, columns: int) -> int:
        """How many tiles cover it."""
        return -(-self.rows // rows) * -(-self.columns // columns) * self.batch

    def fills(self, rows: int, columns: int) -> bool:
        """Whether more than half of a tile has results."""
        return self.rows > rows // 2 and self.columns > columns // 2


def _results(op: OpFacts) -> _Results:
    column = op.column_loop()
    right = [a.dims() for a in op.inputs if column in a.dims() and a.dims() & set(op.reductions())]
    left = [a.dims() for a in op.inputs if column not in a.dims() and a.dims() & set(op.reductions())]
    outer, in_right, in_left = set(op.parallel()), set().union(*right), set().union(*left)
    parts = (outer & in_left & in_right, outer & in_left - in_right, outer & in_right - in_left)
    batch, rows, columns = (_count(op, sorted(part)) for part in parts)
    # Whole arrays, one loop per dimension.
    bits = 8 if "float8" in op.attributes else 32 if "tf32" in op.attributes else 16
    plain = all(a.bits == bits and all(_PLAIN.fullmatch(result) for result in a.results) for a in op.inputs)
    # Warpgroups turn elements of 16 bits only.
    if bits == 32:
        plain = plain and all(a.results[-1:] == (f"d{op.reductions()[-1]}",) for a in op.inputs)
    return _Results(
        1 if batch is None else batch,
        UNKNOWN_SIZE if rows is None else rows,
        UNKNOWN_SIZE if columns is None else columns,
        None not in (batch, rows, columns),
        plain and len(op.inputs) == 2,
        bits,
    )


def _warpgroups(results: _Results, machine: Machine) -> Config | None:
    """Choose the tile, and how many blocks share factors, by which multiprocessors are done first.

    Returns:
        None where half of the multiprocessors would have nothing to do.
    """
    if not machine.has_warpgroups or not results.plain:
        return None

    def turns(tile: WarpgroupTile, cluster: int) -> int:
        return -(-results.tiles(cluster * tile.rows, tile.columns) // max(machine.processors // cluster, 1))

    def time(choice: tuple[WarpgroupTile, int]) -> float:
        tile, cluster = choice
        cost = tile.cost * (SHARED_COST if cluster > 1 else 1)
        return turns(tile, cluster) * tile.rows * tile.columns * cost

    fitting = [(tile, cluster) for tile in WARPGROUP_TILES for cluster in (1, 2)
               if results.fills(tile.rows, tile.columns) and results.rows > (cluster - 1) * tile.rows
               and 2 * results.tiles(tile.rows, tile.columns) >= machine.processors]  # fmt: skip
    if not fitting:
        return None
    tile, cluster = min(fitting, key=time)
    persistent = not results.known or turns(tile, cluster) > 1
    count = results.tiles(tile.rows, tile.columns) if results.known else "unknown many"
    how = (
        "blocks go from tile to tile, results leave while the next factors arrive"
        if persistent
        else "one block each"
    )
    shared = "; two blocks share the right factor" if cluster > 1 else ""
    precision = ', f32 rounded to TF32 as precision="tf32" allows' if results.bits == 32 else ""
    return Config(
        "wgmma",
        f"warpgroups on tiles of {tile.rows} by {tile.columns}{precision}, {tile.stages} in flight; {count} tiles on "
        f"{machine.processors} multiprocessors: {how}{shared}",
        (tile.rows, tile.columns, tile.depth * 16 // results.bits, tile.stages, int(persistent), cluster),
    )


def _largest(tiles: tuple[TensorTile, ...], results: _Results, machine: Machine) -> TensorTile:
    """Choose the largest tile that leaves no multiprocessor without one; the smallest for few results."""
    for tile in tiles:
        if results.tiles(tile.rows, tile.columns) >= machine.processors and results.fills(
            tile.rows, tile.columns
        ):
            return tile
    return tiles[-1]


def _product(op: OpFacts, machine: Machine) -> Config | None:
    """How a product is tiled; nothing where it has too few rows for tiles."""
    if not op.contracts():
        return None
    if split := dots.split(op, machine.processors):
        return Config("dots", split.why(), split.tile)
    outer = set(op.parallel())
    # Loops of one side alone: its rows, or its columns.
    for access in op.inputs:
        own = [d for d in outer & access.dims() if any(d not in other.dims() for other in op.inputs)]
        size = _count(op, own)
        if access.dims() and size is not None and size <= FEW_ROWS and len(op.inputs) == 2:
            return None
    # What a dequantised weight is made of is no factor of two bytes, or of one.
    kinds = {a.bits for a in op.inputs if a.results}
    results = _results(op)
    is_float8 = "float8" in op.attributes
    if is_float8 and (config := _warpgroups(results, machine)):
        return config
    is_tf32, is_narrow = "tf32" in op.attributes, kinds & {16} or (kinds == {8} and not is_float8)
    if (is_narrow or is_tf32) and "plain_integers" not in op.attributes:
        if config := _warpgroups(results, machine):
            return config
        tile = _largest(TENSOR_TILES, results, machine)
        depth, factors = tile.depth, "f16 and bf16"
        if is_tf32:
            depth, factors = tile.depth // 2, 'f32, rounded to TF32 as precision="tf32" allows,'
        elif kinds == {8}:
            depth, factors = tile.depth * 2, "int8"
        return Config(
            "mma",
            f"tiles of {tile.rows} by {tile.columns}, {tile.stages} in flight; factors of {factors} on tensor cores",
            (tile.rows, tile.columns, depth, tile.stages, tile.warp_rows, tile.warp_columns),
        )
    tile = _largest(PLAIN_TILES, results, machine)
    is_float32 = kinds == {32} and "plain_integers" not in op.attributes
    hint = ', since nothing allows rounding float32 (precision="tf32" would)' if is_float32 else ""
    return Config(
        "tiles",
        f"tiles of {tile.rows} by {tile.columns}, {tile.stages} in flight; fused multiply-adds in registers{hint}",
        (tile.rows, tile.columns, tile.depth, tile.stages, tile.warp_rows, tile.warp_columns),
    )


def _points(op: OpFacts) -> Config | None:
    """Why an operation must not, or should not, share rows with others."""
    if op.runs() and (threads := runs.threads(op)):
        return Config("runs", runs.why(op, threads), (threads,))
    if "tw.lowering" in op.attributes:
        return Config("points", "in order by construction: a thread keeps it")
    if not op.reductions() or op.contracts():
        return None
    inner = op.reductions()
    if not any(a.contiguous_along(inner[-1]) and inner[-1] in a.dims() for a in op.inputs):
        return Config("points", "neighbouring results lie next to each other: a thread sums each")
    length = _count(op, inner)
    if length is not None and length < SHORT_ROW:
        return Config("points", "too few elements to share")
    return None


def _attention(kernel: KernelFacts, configs: dict[int, Config], machine: Machine) -> dict[int, Config]:
    """Two products and nothing but rows with two reductions between them: a block keeps the scores."""
    found = attention.find(kernel)
    if found is None:
        return {}
    products = [configs.get(index) for index in (found.members[0], found.members[-1])]
    keeps = "scores stay in registers: rows are normalised while the second product is summed up"
    on_tensor_cores = all(each and each.lowering in ("mma", "wgmma") for each in products)
    # Scores and weights of float32 are not rounded.
    is_tf32 = any("tf32" in kernel.ops[index].attributes for index in found.members)
    if found.fills_fragments and on_tensor_cores and not is_tf32:
        if machine.has_warpgroups and (groups := attention.group_tile(found, machine.processors)):
            why = f"{keeps}; {groups.why}"
            return dict.fromkeys(found.members, Config("warpgroup_attention", why, groups.numbers()))
        return dict.fromkeys(found.members, Config("attention", f"{keeps}; f16 and bf16 on tensor cores"))
    tile = attention.plain_tile(found, machine.processors)
    if tile is None:
        return {}
    members = found.members if found.queries is None else (found.queries, *found.members)
    return dict.fromkeys(members, Config("plain_attention", f"{keeps}; {tile.why}", tile.numbers()))


def select(kernel: KernelFacts, machine: Machine) -> list[Config]:
    """Choose a config for every operation of a kernel.

    Args:
        kernel: facts of its operations.
        machine: facts of the GPU.

    Returns:
        One config per operation, in order.
    """
    fixed = {op.index: config for op in kernel.ops if (config := _points(op) or _product(op, machine))}
    for run in rows.runs(kernel, (op.index for op in kernel.ops if op.index not in fixed)):
        config = Config("rows", run.why(), (run.threads(), run.kept()))
        fixed.update((index, config) for index in run.ops)
    fixed.update(_attention(kernel, fixed, machine))
    default = Config("points", "each result for itself, neighbours in one transaction where arrays allow it")
    return [fixed.get(op.index, default) for op in kernel.ops]
