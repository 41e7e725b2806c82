"""Target cuda: products of int8 on tensor cores, and of whatever threads multiply, from rings of tiles."""

from __future__ import annotations

import re

import numpy as np
import ptx
import pytest
import tilewright as tw
from cuda_device import DeviceProgram
from op_matrix import fresh_rng
from tilewright.targets.cuda import select

ARCH = "cuda:sm_80"
#: At, below and above tiles of 64 by 64 by 64; a depth that no copy divides; less than a tile.
SHAPES = [(64, 64, 128), (65, 70, 200), (20, 130, 33), (9, 17, 5)]


def compiled(fn, *specs, adversarial: int | None = None) -> DeviceProgram:
    """Compile for the interpreter."""
    return DeviceProgram(tw.jit(fn).trace(*specs).lower(ARCH), adversarial)


@pytest.fixture
def one_processor(monkeypatch):
    """Be a GPU that the largest tile keeps busy."""
    monkeypatch.setattr(select.Machine, "processors", property(lambda self: 1))


#: Name: the axes that are added up.
LAYOUTS = {"rows by columns": (1, 0), "rows by rows": (1, 1), "columns by columns": (0, 0)}


def product_in_32_bits(left: int, right: int):
    """A product of int8 whose sums are kept, along these axes."""

    def product(a, b):
        return tw.dot_general(a, b, lhs_contract=(left,), rhs_contract=(right,), dtype="int32")

    return product


@pytest.mark.parametrize("name", LAYOUTS)
def test_int8_is_exact_on_tensor_cores(name):
    """Bytes are turned on the way to shared memory where they do not lie along the depth."""
    left, right = LAYOUTS[name]
    rng = fresh_rng()
    for m, n, k in SHAPES:
        shapes = ((m, k) if left else (k, m), (n, k) if right else (k, n))
        a, b = (rng.integers(-128, 128, s).astype(np.int8) for s in shapes)
        program = compiled(
            product_in_32_bits(left, right), *(tw.spec(s, "int8") for s in shapes), adversarial=int(rng.integers(1 << 30))
        )  # fmt: skip
        wide = [x.astype(np.int64) for x in (a, b)]
        expected = (wide[0] if left else wide[0].T) @ (wide[1].T if right else wide[1])
        (found,) = program(a, b)
        assert found.dtype == np.int32 and np.array_equal(found, expected), (m, n, k)
        assert (
            "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32" in program.text and len(program.launches) == 1
        )


@pytest.mark.parametrize(
    ("dtype", "result"), [("int8", "int64"), ("int8", "int8"), ("uint8", "uint32"), ("int16", "int32")]
)
def test_integers_that_no_tensor_core_takes(dtype, result):
    """As wide as those that it takes: sums of other widths, and bytes without a sign."""
    rng = fresh_rng()
    limits = np.iinfo(dtype)
    a, b = (rng.integers(limits.min, limits.max + 1, s).astype(dtype) for s in ((20, 33), (70, 33)))
    product = tw.jit(lambda a, b: tw.dot_general(a, b, lhs_contract=(1,), rhs_contract=(1,), dtype=result))
    lowered = product.trace(*(tw.spec(s.shape, dtype) for s in (a, b))).lower(ARCH)
    program = DeviceProgram(lowered)
    (found,) = program(a, b)
    assert np.array_equal(found, (a.astype(np.int64) @ b.astype(np.int64).T).astype(result))
    assert "fused multiply-adds" in lowered.explain() and "mma.sync" not in program.text


def test_int8_in_the_largest_tile_with_an_epilogue(one_processor):
    rng = fresh_rng()
    a, b = (rng.integers(-128, 128, s).astype(np.int8) for s in ((130, 160), (136, 160)))
    scale = rng.standard_normal(136).astype(np.float32)

    def fn(a, b, scale):
        return tw.maximum(tw.astype(product_in_32_bits(1, 1)(a, b), "float32") * scale, 0)

    program = compiled(fn, tw.spec(a.shape, "int8"), tw.spec(b.shape, "int8"), tw.spec(scale.shape))
    sums = a.astype(np.int64) @ b.astype(np.int64).T
    assert np.allclose(program(a, b, scale)[0], np.maximum(sums.astype(np.float32) * scale, 0), rtol=1e-6)
    ((_, blocks, threads),) = program.launches
    assert (blocks, threads) == (4, 128)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8"])
@pytest.mark.parametrize("large", [False, True])
def test_tiles_that_threads_multiply(dtype, large, monkeypatch):
    """Copied four or sixteen bytes at a time, or stored by threads; small and large tiles, in every warp order."""
    if large:
        monkeypatch.setattr(select.Machine, "processors", property(lambda self: 1))
    rng = fresh_rng()
    kind = tw.dtypes.by_name(dtype).numpy
    sizes = ((66, 72, 20), (70, 133, 21)) if dtype == "float32" else ((66, 40, 18),)
    for m, n, k in ((130, 72, 9),) if large else sizes:
        a, b = (rng.integers(0, 9, s).astype(kind) for s in ((m, k), (k, n)))
        program = compiled(
            lambda a, b: a @ b,
            tw.spec(a.shape, dtype),
            tw.spec(b.shape, dtype),
            adversarial=int(rng.integers(1 << 30)),
        )
        expected = a.astype(np.int64) @ b.astype(np.int64)
        (found,) = program(a, b)
        assert np.array_equal(found, expected.astype(found.dtype)), (m, n, k)
        assert ("cp.async.ca" in program.text) == (dtype != "uint8")
        assert ("cp.async.cg" in program.text) == (n % 4 == 0 and dtype != "uint8")


FAULTS = {
    "no wait for the tile": (r"cp\.async\.wait_group\s+2;", ""),
    "a wait too weak": (r"cp\.async\.wait_group\s+2;", "cp.async.wait_group 3;"),
    "no barrier after the wait": (r"(cp\.async\.wait_group\s+2;\s*)bar\.sync\s+0;", r"\1"),
    "one group of copies too few": (r"cp\.async\.commit_group;", ""),
    "no zeros beyond the array": (r"selp\.b32\s+(%r\d+), 4, 0, %p\d+;", r"mov.b32 \1, 4;"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults(name):
    """Each ends in an error of the interpreter or in other results."""
    rng = fresh_rng()
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((60, 130), (130, 61)))
    program = compiled(lambda a, b: a @ b, tw.spec(a.shape), tw.spec(b.shape))
    good = program(a, b)[0]
    changed, count = re.subn(*FAULTS[name], program.text, count=1)
    assert count == 1, FAULTS[name]
    program.module = ptx.load(changed)
    for seed in range(3):
        program.adversarial = seed
        try:
            if not np.array_equal(program(a, b)[0], good):
                return
        except ptx.PtxFault:
            return
    pytest.fail("was not caught")
