"""Planted faults: correct kernels, each changed in one place, are caught by an error of their own or by wrong numbers."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import ptx
import pytest
from ptx_programs import ROW_SUMS, gemm, run_gemm, run_row_sums

SEEDS = range(3)
RNG = np.random.default_rng(0)
A = (RNG.integers(-8, 9, (56, 136)) / 4).astype(np.float16)
B = (RNG.integers(-8, 9, (136, 40)) / 4).astype(np.float16)
PRODUCT = A.astype(np.float64) @ B.astype(np.float64)  # exact in float32, too
X = RNG.integers(-100, 100, (5, 300)).astype(np.float32)
WRONG = "wrong numbers"
EARLY = (ptx.Race, ptx.InFlight, ptx.Uninitialised)  # what a warp that runs ahead may meet first


def changed(text: str, old: str, new: str, count: int = 1) -> str:
    """Replace a part of a kernel that must be there."""
    assert old in text, old
    return text.replace(old, new, count)


@pytest.mark.parametrize("seed", [None, *SEEDS])
@pytest.mark.parametrize("shape", [(56, 136, 40), (33, 32, 32), (1, 8, 8), (64, 96, 64), (16, 200, 8)])
def test_the_product_is_right(shape: tuple[int, int, int], seed: int | None) -> None:
    m, k, n = shape
    a, b = np.resize(A, (m, k)), np.resize(B, (k, n))
    assert (run_gemm(gemm(), a, b, adversarial=seed) == a.astype(np.float64) @ b.astype(np.float64)).all()


def test_the_product_is_right_in_bfloat16() -> None:
    a, b = A.astype(ml_dtypes.bfloat16), B.astype(ml_dtypes.bfloat16)
    assert (run_gemm(gemm("bf16"), a, b, adversarial=0) == PRODUCT).all()


@pytest.mark.parametrize("seed", [None, *SEEDS])
def test_the_sums_are_right(seed: int | None) -> None:
    assert (run_row_sums(ROW_SUMS, X, adversarial=seed) == X.sum(1)).all()


GEMM_FAULTS = {
    "wait one group short": ("cp.async.wait_group 1;", "cp.async.wait_group 2;", ptx.InFlight),
    "no wait": ("cp.async.wait_group 1;", "", ptx.InFlight),
    "no commit in the loop": ("NEXT_SKIP:\n  cp.async.commit_group;", "NEXT_SKIP:", ptx.InFlight),
    "no barrier in the loop": ("bar.sync 0;\n  add.u32 %r40", "add.u32 %r40", EARLY),
    "barrier before the wait": ("cp.async.wait_group 1;\n  bar.sync 0;", "bar.sync 0;\n  cp.async.wait_group 1;", (ptx.Race, ptx.InFlight)),
    "one warp misses a barrier": ("bar.sync 0;", "setp.lt.u32 %p20, %r1, 96;\n @%p20 bar.sync 0;", (ptx.Deadlock, *EARLY)),
    "overwrites the stage that is being read": ("add.u32 %r40, %r30, 2;", "add.u32 %r40, %r30, 3;", (ptx.Race, ptx.InFlight)),
    "writer swizzles differently": ("shr.u32 %r18, %r13, 1;", "shr.u32 %r18, %r13, 2;", WRONG),
    "reader of b does not swizzle": ("xor.b32 %r36, %r36, %r26;", "mov.u32 %r36, %r26;", WRONG),
    "b is not transposed": ("x4.trans.shared", "x4.shared", WRONG),
    "fragments in the wrong order": ("{%r80, %r81, %r82, %r83}, [", "{%r80, %r82, %r81, %r83}, [", WRONG),
    "no mask on rows of a": ("setp.lt.and.u32 %p6, %r15, %r2, %p6;", "", ptx.OutOfBounds),
    "no mask on columns of b": ("setp.lt.and.u32 %p6, %r17, %r3, %p6;", "", ptx.OutOfBounds),
    "no mask on k": ("setp.lt.u32 %p6, %r46, %r4;", "setp.ge.u32 %p6, %r46, 0;", ptx.OutOfBounds),
    "no mask on a store": ("@%p17 st.global", "st.global", ptx.OutOfBounds),
    "mask off by one": ("setp.lt.u32 %p11, %r53, %r2;", "setp.le.u32 %p11, %r53, %r2;", ptx.OutOfBounds),
    "one tile of k too few": ("add.u32 %r9, %r4, 31;", "add.u32 %r9, %r4, 0;", WRONG),
    "accumulator without a start": ("mov.b32 %r105, 0f00000000;", "", ptx.Uninitialised),
    "shared memory of four stages in three": ("rem.u32 %r41, %r40, 3;", "and.b32 %r41, %r40, 3;", ptx.OutOfBounds),
    "tile of b in the wrong place": ("[%r36+2048]", "[%r36+2040]", ptx.Misaligned),
}  # fmt: skip


@pytest.mark.parametrize("fault", GEMM_FAULTS)
def test_faults_of_the_product(fault: str) -> None:
    old, new, expected = GEMM_FAULTS[fault]
    text = changed(gemm(), old, new, 3 if "%p6" in old or "%r41" in old else 1)
    for seed in SEEDS[:1] if expected is WRONG else SEEDS:
        if expected is WRONG:
            assert not (run_gemm(text, A, B, adversarial=seed) == PRODUCT).all()
        else:
            with pytest.raises(expected, match=rf"(?s)line \d+.*adversarial={seed}$"):  # type: ignore[arg-type]
                run_gemm(text, A, B, adversarial=seed)


def test_misaligned_rows() -> None:
    with pytest.raises(ptx.Misaligned, match=r"source .* is not a multiple of 16"):
        run_gemm(gemm(), A, B, align=8)


ROW_FAULTS = {
    "mask of half a warp": ("4, 31, -1;", "4, 31, 0xffff;", ptx.Divergence),
    "one step of the butterfly left out": ("%r10, 2, 31", "%r10, 4, 31", WRONG),
    "no barrier before partial sums are read": ("bar.sync 0; // partial sums are there", "", (ptx.Race, ptx.Uninitialised)),
    "no barrier before partial sums are overwritten": ("bar.sync 0; // partial sums were read", "", ptx.Race),
    "every lane stores its partial sum": ("@%p3 st.shared", "st.shared", None),
    "partial sums of more warps than there are": ("shr.u32 %r5, %r1, 5;", "shr.u32 %r5, %r1, 6;", (ptx.Uninitialised, ptx.Race)),
    "columns without a bound": ("setp.ge.u32 %p2, %r11, %r3;", "setp.gt.u32 %p2, %r11, %r3;", ptx.OutOfBounds),
    "rows without a bound": ("setp.ge.u32 %p1, %r6, %r2;", "setp.gt.u32 %p1, %r6, %r2;", ptx.OutOfBounds),
}  # fmt: skip


@pytest.mark.parametrize("fault", ROW_FAULTS)
def test_faults_of_the_sums(fault: str) -> None:
    old, new, expected = ROW_FAULTS[fault]
    text = changed(ROW_SUMS, old, new)
    for seed in SEEDS:
        if expected is None:  # harmless: all lanes of a warp store the same value to the same place
            assert (run_row_sums(text, X, adversarial=seed) == X.sum(1)).all()
        elif expected is WRONG:
            assert not (run_row_sums(text, X, adversarial=seed) == X.sum(1)).all()
        else:
            with pytest.raises(expected, match=f"adversarial={seed}$"):
                run_row_sums(text, X, adversarial=seed)


def test_what_the_fast_order_does_not_see() -> None:
    # Without a seed everything runs in the kindest order: this fault needs the adversarial mode, or the race detector.
    text = changed(ROW_SUMS, "bar.sync 0; // partial sums were read", "")
    assert (run_row_sums(text, X) == X.sum(1)).all()
    with pytest.raises(ptx.Race):
        run_row_sums(text, X, races=True)
