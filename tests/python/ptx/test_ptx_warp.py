"""Warp-wide instructions of the PTX interpreter."""

from __future__ import annotations

import numpy as np
import ptx
import pytest
from ptx_kernels import apply

LANE = np.arange(128) % 32
BASE = np.arange(128) - LANE
SEEDS = [None, 4]


def data(seed: int = 0) -> np.ndarray:
    """Return 128 random words: four warps."""
    return np.random.default_rng(seed).integers(0, 2**32, 128, dtype=np.uint32)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("width", [32, 16, 8, 4])
@pytest.mark.parametrize("amount", [0, 1, 3, 7, 16, 31])
def test_shuffles(amount: int, width: int, seed: int | None) -> None:
    a = data()
    segment = (32 - width) << 8
    first = LANE // width * width
    expected = {
        "up": (np.where(LANE - amount >= first, LANE - amount, LANE), LANE - amount >= first, segment),
        "down": (
            np.where(LANE + amount < first + width, LANE + amount, LANE),
            LANE + amount < first + width,
            segment | 31,
        ),
        "idx": (first + amount % width, np.ones(128, bool), segment | 31),
    }
    if amount < width:
        expected["bfly"] = (LANE ^ amount, np.ones(128, bool), segment | 31)
    for mode, (source, good, control) in expected.items():
        body = f"shfl.sync.{mode}.b32 %x|%p2, %a, {amount}, {control}, 0xffffffff;\n selp.u32 %y, 1, 0, %p2;"
        values, inside = apply(body, [a], [np.uint32] * 2, adversarial=seed)
        assert (values == a[BASE + source]).all() and (inside == good).all(), mode


def test_shuffle_with_an_amount_per_lane() -> None:
    a = data()
    b = data(1)
    (found,) = apply("shfl.sync.idx.b32 %x, %a, %b, 31, -1;", [a, b], [np.uint32])
    assert (found == a[BASE + b % 32]).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_warp_sum(seed: int | None) -> None:
    a = np.random.default_rng(0).standard_normal(128).astype(np.float32)
    steps = "\n".join(
        f"shfl.sync.bfly.b32 %r10, %x, {k}, 31, -1;\n mov.b32 %r11, %x;\n add.f32 %x, %r11, %r10;"
        for k in (16, 8, 4, 2, 1)
    )
    (found,) = apply("mov.b32 %x, %a;\n" + steps, [a], [np.float32], adversarial=seed)
    sums = a.reshape(4, 32).copy()
    for k in (16, 8, 4, 2, 1):
        sums = sums + sums[:, np.arange(32) ^ k]
    assert (found.reshape(4, 32) == sums).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_part_of_a_warp(seed: int | None) -> None:
    body = """
  mov.u32 %r9, %laneid;
  setp.lt.u32 %p2, %r9, 12;
  mov.u32 %x, 0;
  @%p2 bra LOW;
  shfl.sync.bfly.b32 %x, %a, 16, 31, 0xfffff000;
  bra DONE;
LOW:
  shfl.sync.bfly.b32 %x, %a, 1, 31, 0x00000fff;
DONE:
  bar.warp.sync -1;
  activemask.b32 %y;"""
    a = data()
    high = body.replace("%a, 16, 31, 0xfffff000", "%a, 0, 31, 0xfffff000")
    found, mask = apply(high, [a], [np.uint32] * 2, adversarial=seed)
    assert (found == np.where(LANE < 12, a[BASE + (LANE ^ 1)], a)).all() and (mask != 0).all()
    with pytest.raises(ptx.Divergence, match=r"reads lane 0, which does not take part"):
        apply(body, [a], [np.uint32] * 2, adversarial=seed)


def test_wrong_masks() -> None:
    a = data()
    with pytest.raises(ptx.Divergence, match=r"the mask 0x0000ffff leaves out the thread itself"):
        apply("shfl.sync.bfly.b32 %x, %a, 1, 31, 0xffff;", [a], [np.uint32])
    one_sided = "setp.lt.u32 %p2, %r1, 16;\n mov.u32 %x, 0;\n @%p2 shfl.sync.bfly.b32 %x, %a, 1, 31, -1;\n bar.sync 0;"
    with pytest.raises(ptx.Deadlock, match=r"shfl.sync"):
        apply(one_sided, [a], [np.uint32])


@pytest.mark.parametrize("seed", SEEDS)
def test_votes(seed: int | None) -> None:
    a = data()
    a[32:64] |= 1
    a[64:96] &= ~np.uint32(1)
    odd = (a & 1).reshape(4, 32).astype(bool)
    body = """
  and.b32 %r9, %a, 1;
  setp.eq.u32 %p2, %r9, 1;
  vote.sync.ballot.b32 %x, %p2, -1;
  vote.sync.any.pred %p3, %p2, -1;
  vote.sync.all.pred %p4, %p2, -1;
  vote.sync.uni.pred %p5, %p2, -1;
  selp.u32 %y, 1, 0, %p3;
  selp.u32 %r10, 2, 0, %p4;
  selp.u32 %r11, 4, 0, %p5;
  add.u32 %y, %y, %r10;
  add.u32 %y, %y, %r11;"""
    ballot, flags = apply(body, [a], [np.uint32] * 2, adversarial=seed)
    assert (ballot == np.repeat((odd << np.arange(32, dtype=np.uint64)).sum(1).astype(np.uint32), 32)).all()
    assert flags[::32].tolist() == [1, 7, 4, 1]


@pytest.mark.parametrize("seed", SEEDS)
def test_matches_and_reductions(seed: int | None) -> None:
    a = data() % np.uint32(5)
    a[32:64] = 3
    body = "match.any.sync.b32 %x, %a, -1;\n match.all.sync.b32 %y|%p2, %a, -1;\n selp.u32 %z, 1, 0, %p2;"
    some, everyone, flag = apply(body, [a], [np.uint32] * 3, adversarial=seed)
    equal = a.reshape(4, 1, 32) == a.reshape(4, 32, 1)
    assert (some == (equal << np.arange(32, dtype=np.uint64)).sum(2).astype(np.uint32).ravel()).all()
    assert everyone[::32].tolist() == [0, 2**32 - 1, 0, 0] and flag[::32].tolist() == [0, 1, 0, 0]
    b = data(2)
    total, least, bits = apply(
        "redux.sync.add.u32 %x, %a, -1;\n redux.sync.min.s32 %y, %a, -1;\n redux.sync.xor.b32 %z, %a, -1;",
        [b], [np.uint32, np.int32, np.uint32], adversarial=seed,
    )  # fmt: skip
    rows = b.reshape(4, 32)
    assert (total[::32] == rows.sum(1, dtype=np.uint32)).all()
    assert (least[::32] == rows.view(np.int32).min(1)).all()
    assert (bits[::32] == np.bitwise_xor.reduce(rows, 1)).all()


def test_election() -> None:
    elected, leader = apply("elect.sync %x|%p2, -1;\n selp.u32 %y, 1, 0, %p2;", [data()], [np.uint32] * 2)[
        ::-1
    ]
    assert elected.reshape(4, 32).sum(1).tolist() == [1] * 4 and (leader < 32).all()
