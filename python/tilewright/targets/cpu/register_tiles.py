"""How many rows a register tile of a contraction takes: the candidates, what each would cost, and the best of them.

The model counts cycles of one step of the sum over all tiles of a column of tiles. In a tile of ``r`` rows and ``v``
vectors there are

- multiply-adds, one a cycle: ``r * v``, and never less than the latency of one, since each accumulator waits for its
  last sum;
- loads, two a cycle: ``v`` vectors of one operand and ``r`` broadcast elements of the other;
- the stream of the ``v`` vectors, which every tile reads again from the second-level cache.

The longest of the three counts in full, the others by the share of them that does not hide behind it. Rows that fill no
whole tile are a smaller tile. Start and end of a tile are left out: they do not grow with the length of the sum.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Cycles from a multiply-add to the next one on the same accumulator.
LATENCY = 4
#: Loads that begin in one cycle.
LOADS = 2
#: Cycles that a vector takes from the second-level cache.
STREAM = 2
#: The share of the shorter ones of the three that the longest does not hide.
EXPOSED = 0.15
#: Rows of the largest tile: with two vectors, 24 accumulators keep the multiplier busy, and more code gains nothing.
MOST_ROWS = 12
#: Costs that differ by less than this are equal to the model.
TOLERANCE = 0.02


@dataclass(frozen=True)
class RowTile:
    """One candidate.

    Attributes:
        rows: of a tile.
        rest: rows of the smaller tile at the end; 0 where there is none.
        cost: cycles for a step of the sum, all tiles together, over those of the multiply-adds alone; 1 is the limit.
    """

    rows: int
    rest: int
    cost: float

    def __str__(self) -> str:
        rest = f" and {self.rest} left over" if self.rest else ""
        return f"{self.rows} rows{rest}: {self.cost:.2f} of the least time"


def _cycles(rows: int, vectors: int) -> float:
    if not rows:
        return 0.0
    parts = (max(rows * vectors, LATENCY), (rows + vectors) / LOADS, vectors * STREAM)
    return max(parts) + EXPOSED * (sum(parts) - max(parts))


def candidates(known: int | None, vectors: int, budget: int) -> list[RowTile]:
    """Return the tiles that fit the registers, the best one first.

    Args:
        known: rows of the result, where that is known; otherwise tiles are judged by whole ones alone.
        vectors: vectors in a row of a tile.
        budget: rows whose accumulators fit the registers.

    Returns:
        Among those that the model finds equal to the cheapest, tiles that leave no rest come first, then larger ones;
        the other ones follow by their cost.
    """
    most = max(1, min(MOST_ROWS, budget, known or MOST_ROWS))
    found = []
    for rows in range(1, most + 1):
        total = rows if known is None else known
        tiles, rest = divmod(total, rows)
        cycles = tiles * _cycles(rows, vectors) + _cycles(rest, vectors)
        found.append(RowTile(rows, rest, cycles / (total * vectors)))
    limit = min(tile.cost for tile in found) * (1 + TOLERANCE)
    equal = sorted((t for t in found if t.cost <= limit), key=lambda t: (t.rest > 0, -t.rows))
    return equal + sorted((t for t in found if t.cost > limit), key=lambda t: t.cost)
