"""Planted faults in a warp-specialised product with TMA, mbarriers and wgmma."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import ptx
import pytest
from ptx_hopper import hopper_gemm, run_hopper_gemm

RNG = np.random.default_rng(0)
A = RNG.integers(-4, 5, (72, 328)).astype(ml_dtypes.bfloat16)
B = RNG.integers(-4, 5, (40, 328)).astype(ml_dtypes.bfloat16)
PRODUCT = A.astype(np.float64) @ B.T.astype(np.float64)
SEEDS = range(2)
DESCRIPTOR = (1 << 62) + (64 << 32) + (1 << 16)  # 128-byte swizzle, 1024 bytes between groups of 8 rows
WRONG = "wrong numbers"
RING = (
    ptx.InFlight,
    ptx.Race,
    ptx.Uninitialised,
    ptx.Deadlock,
    ptx.BadOperand,
)  # how a ring out of step may end


@pytest.mark.parametrize("seed", [None, *SEEDS])
def test_the_product_is_right(seed: int | None) -> None:
    assert (run_hopper_gemm(hopper_gemm(), A, B, adversarial=seed) == PRODUCT).all()


FAULTS = {
    "consumers do not wait for the stage": ("%p4, [%r13], %r12; // full", "%p4, [%r6+24], 1;", RING),
    "consumers wait for the wrong parity": ("mov.u32 %r12, 0; // parity", "mov.u32 %r12, 1;", RING),
    "the producer does not wait for the stage": ("%p4, [%r13+16], %r12; // empty", "%p4, [%r6+24], 1;", RING),
    "the producer waits for the wrong parity": ("mov.u32 %r12, 1;\nPRODUCE", "mov.u32 %r12, 0;\nPRODUCE", ptx.Deadlock),
    "a stage is released before the wgmma is done": (
        "  wgmma.wait_group.sync.aligned 0;\n  elect.sync _|%p8, -1;\n  @%p8 mbarrier.arrive.shared::cta.b64 _, [%r13+16];",
        "  elect.sync _|%p8, -1;\n  @%p8 mbarrier.arrive.shared::cta.b64 _, [%r13+16];\n  wgmma.wait_group.sync.aligned 0;",
        RING,
    ),
    "no wait for the wgmma": ("wgmma.wait_group.sync.aligned 0;", "", RING),
    "no fence before the wgmma": ("wgmma.fence.sync.aligned;", "", ptx.MissingFence),
    "one warp releases for all four": ("[%r6+24], 4;", "[%r6+24], 1;", RING),
    "one warp too many is waited for": ("[%r6+16], 4;", "[%r6+16], 5;", ptx.Deadlock),
    "bytes of one tile only are expected": ("_, [%r13], 12288;", "_, [%r13], 8192;", RING),
    "more bytes than come are expected": ("_, [%r13], 12288;", "_, [%r13], 12304;", ptx.Deadlock),
    "the tile of b reports to the other barrier": ("{%r16, %r8}], [%r13];", "{%r16, %r8}], [%r6+8];", RING),
    "coordinates exchanged": ("{%r16, %r9}]", "{%r9, %r16}]", WRONG),
    "a step of k as without a swizzle": ("add.u64 %d12, %d10, 2;", "add.u64 %d12, %d10, 16;", (ptx.BadOperand, ptx.OutOfBounds)),
    "stride of another swizzle": (str(DESCRIPTOR), str((1 << 62) + (32 << 32) + (1 << 16)), WRONG),
    "descriptor without a swizzle": (str(DESCRIPTOR), str((64 << 32) + (1 << 16)), WRONG),
    "descriptor of b at the tile of a": (str(DESCRIPTOR + 512), str(DESCRIPTOR), WRONG),
    "no mask on rows": ("setp.lt.u32 %p6, %r33, %r4;", "setp.ge.u32 %p6, %r33, 0;", ptx.OutOfBounds),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(fault: str) -> None:
    old, new, expected = FAULTS[fault]
    text = hopper_gemm()
    assert old in text, old
    text = text.replace(old, new, 1)
    for seed in SEEDS:
        if expected is WRONG:
            assert not (run_hopper_gemm(text, A, B, adversarial=seed, strict=False) == PRODUCT).all()
        else:
            with pytest.raises(expected):
                run_hopper_gemm(text, A, B, adversarial=seed)
