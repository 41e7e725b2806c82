"""The model behind register tiles: what it counts, and that the choice is the best of what it shows."""

import pytest
import tilewright as tw
from tilewright.targets.cpu.register_tiles import TOLERANCE, candidates


@pytest.mark.parametrize("vectors, budget", [(1, 29), (2, 14), (4, 6), (2, 4)])
@pytest.mark.parametrize("known", [None, 1, 2, 7, 8, 12, 13, 25, 96, 128, 203, 1000, 1597])
def test_the_first_is_as_good_as_any(known, vectors, budget):
    found = candidates(known, vectors, budget)
    least = min(tile.cost for tile in found)
    assert found[0].cost <= least * (1 + TOLERANCE)
    assert {tile.rows for tile in found} == set(range(1, 1 + min(12, budget, known or 12)))
    for tile in found:
        assert tile.rest == (0 if known is None else known % tile.rows)
        assert tile.cost >= 1
    # Among equals a tile without a rest comes first, if there is one.
    equal = [tile for tile in found if tile.cost <= least * (1 + TOLERANCE)]
    assert found[0].rest == 0 or all(tile.rest for tile in equal)


def test_what_few_rows_cost():
    alone = candidates(1, 2, 14)[0]
    assert alone.rows == 1 and alone.cost > 2  # two multiply-adds wait for four cycles of latency
    assert candidates(None, 2, 14)[0].rows == 12
    assert candidates(128, 2, 14)[0].rows == 8  # 12 would leave eight rows over
    assert candidates(1597, 2, 14)[0].rows == 12  # a prime leaves some over in any case


def test_explain_shows_what_was_weighed():
    text = tw.jit(lambda a, b: a @ b).lower(tw.spec((128, 64)), tw.spec((64, 96))).explain()
    assert "weighed 8 rows: 1.08 of the least time; 12 rows and 8 left over: 1.07" in text
    text = tw.jit(lambda a: a.sum(axis=1)).lower(tw.spec((128, 64))).explain()
    assert "weighed lanes along d1: 0.5 extra accesses a vector; lanes along d0: 4 extra" in text
