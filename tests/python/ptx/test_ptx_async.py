"""Asynchronous copies and mbarriers of the PTX interpreter."""

from __future__ import annotations

import numpy as np
import ptx
import pytest
from ptx_kernels import kernel

SEEDS = [None, 0, 1, 2]
START = """
  ld.param.u64 %d1, [in];
  ld.param.u64 %d2, [out];
  mov.u32 %r1, %tid.x;
  mad.wide.u32 %d3, %r1, 16, %d1;
  mad.wide.u32 %d4, %r1, 16, %d2;
  mov.u32 %r2, s;
  mad.lo.u32 %r3, %r1, 16, %r2;
"""
COPY_OUT = "  ld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [%r3];\n  st.global.v4.u32 [%d4], {%r10, %r11, %r12, %r13};\n  ret;"
DATA = np.arange(1, 64 * 4 + 1, dtype=np.uint32)


def run(body: str, *, data: np.ndarray = DATA, threads: int = 64, align: int = 256, **options) -> np.ndarray:
    """Run a kernel over 16 bytes per thread in, the same out, with 1 KiB and an mbarrier in shared memory."""
    declare = ".shared .align 16 .b8 s[1024]; .shared .align 8 .b64 bar;"
    text = kernel(START + body, params=".param .u64 in, .param .u64 out", declarations=declare)
    memory = ptx.Memory()
    source, out = (
        memory.put(data, writable=False, align=align, name="in"),
        memory.empty(4 * threads, np.uint32),
    )
    ptx.load(text).launch("k", 1, threads, [source, out], memory=memory, **options)
    return memory.get(out)


@pytest.mark.parametrize("seed", SEEDS)
def test_copies_of_all_sizes(seed: int | None) -> None:
    body = """
  cp.async.ca.shared.global [%r3], [%d3], 8;
  cp.async.ca.shared::cta.global.L2::128B [%r3+8], [%d3+8], 4;
  cp.async.ca.shared.global [%r3+12], [%d3+12], 4;
  cp.async.commit_group;
  cp.async.wait_group 0;
"""
    assert (run(body + COPY_OUT, adversarial=seed) == DATA).all()
    body = "  cp.async.cg.shared.global [%r3], [%d3], 16;\n  cp.async.wait_all;\n"
    assert (run(body + COPY_OUT, adversarial=seed) == DATA).all()


def test_zero_fill() -> None:
    sizes = "and.b32 %r5, %r1, 3;\n shl.b32 %r5, %r5, 2;\n cp.async.cg.shared.global [%r3], [%d3], 16, %r5;\n cp.async.wait_all;\n"
    found = run(sizes + COPY_OUT).reshape(64, 4)
    expected = DATA.reshape(64, 4) * (np.arange(4) < (np.arange(64) % 4)[:, None])
    assert (found == expected).all()
    # Nothing behind the given size is read: the last row is cut off after three words.
    assert (run(sizes + COPY_OUT, data=DATA[:-1]).reshape(64, 4) == expected).all()
    with pytest.raises(ptx.OutOfBounds):
        run(sizes.replace("%r5, 2;", "%r5, 2;\n mov.u32 %r5, 16;") + COPY_OUT, data=DATA[:-1])
    with pytest.raises(ptx.BadOperand, match=r"source size 17"):
        run(sizes.replace("%r5, 2;", "%r5, 2;\n mov.u32 %r5, 17;") + COPY_OUT)
    ignored = (
        "setp.ge.u32 %p1, %r1, 10;\n cp.async.ca.shared.global [%r3], [%d3], 16, %p1;\n cp.async.wait_all;\n"
    )
    assert (run(ignored + COPY_OUT, data=DATA[:40])[:40] == DATA[:40]).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_reading_before_the_wait(seed: int | None) -> None:
    copy = "  cp.async.cg.shared.global [%r3], [%d3], 16;\n  cp.async.commit_group;\n"
    with pytest.raises(ptx.InFlight, match=r"reads shared memory that a copy in flight writes"):
        run(copy + COPY_OUT, adversarial=seed)
    with pytest.raises(ptx.InFlight, match=r"overwrites shared memory"):
        run(copy + "  st.shared.u32 [%r3], %r1;\n  ret;", adversarial=seed)
    with pytest.raises(ptx.InFlight, match=r"overwrites shared memory"):
        run(copy + copy + "  ret;", adversarial=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_groups(seed: int | None) -> None:
    first = "  cp.async.cg.shared.global [%r3], [%d3], 16;\n  cp.async.commit_group;\n"
    second = "  mad.lo.u32 %r4, %r1, -16, %r2;\n  cp.async.ca.shared.global [%r4+1008], [%d3], 4;\n  cp.async.commit_group;\n"
    # Threads 0 to 31 use the lower half, and in the second group the upper half.
    half = {"threads": 32, "adversarial": seed}
    assert (run(first + second + "  cp.async.wait_group 1;\n" + COPY_OUT, **half) == DATA[:128]).all()
    with pytest.raises(ptx.InFlight):
        run(first + second + "  cp.async.wait_group 2;\n" + COPY_OUT, **half)
    with pytest.raises(ptx.InFlight):
        run(second + first + "  cp.async.wait_group 1;\n" + COPY_OUT, **half)


@pytest.mark.parametrize("seed", SEEDS)
def test_another_thread_needs_a_barrier(seed: int | None) -> None:
    body = """
  cp.async.cg.shared.global [%r3], [%d3], 16;
  cp.async.wait_all;
  BARRIER
  xor.b32 %r5, %r1, 63;
  mad.lo.u32 %r3, %r5, 16, %r2;
"""
    found = run(body.replace("BARRIER", "bar.sync 0;") + COPY_OUT, adversarial=seed)
    assert (found.reshape(64, 4) == DATA.reshape(64, 4)[::-1]).all()
    with pytest.raises((ptx.Race, ptx.InFlight, ptx.Uninitialised)):
        run(body.replace("BARRIER", "") + COPY_OUT, adversarial=seed, races=True)


def test_faults_of_addresses() -> None:
    copy = "  cp.async.cg.shared.global [%r3], [%d3], 16;\n  cp.async.wait_all;\n"
    with pytest.raises(ptx.Misaligned, match=r"source .* is not a multiple of 16"):
        run(copy + COPY_OUT, align=8)
    with pytest.raises(ptx.Misaligned):
        run(copy.replace("[%r3]", "[%r3+8]") + COPY_OUT)
    with pytest.raises(ptx.OutOfBounds, match=r"past the end of in"):
        run(copy + COPY_OUT, data=DATA[:-1])
    with pytest.raises(ptx.OutOfBounds, match=r"past the end of s"):
        run(copy.replace("[%r3]", "[%r3+1024]") + COPY_OUT)
    with pytest.raises(ptx.UnsupportedPtx):
        run(copy.replace("16;\n", "12;\n") + COPY_OUT)


INIT = """
  setp.eq.u32 %p1, %r1, 0;
  mov.u32 %r6, bar;
  @%p1 mbarrier.init.shared.b64 [%r6], COUNT;
  bar.sync 0;
"""


@pytest.mark.parametrize("seed", SEEDS)
def test_mbarrier_between_warps(seed: int | None) -> None:
    # Warp 0 writes and arrives, warp 1 waits; twice, so that both parities occur.
    body = (
        INIT.replace("COUNT", "32")
        + """
  setp.ge.u32 %p2, %r1, 32;
  mov.u32 %r7, 0;
ROUND:
  @%p2 bra CONSUME;
  mad.lo.u32 %r8, %r7, 512, %r3;
  add.u32 %r9, %r1, %r7;
  st.shared.v4.u32 [%r8], {%r9, %r9, %r9, %r9};
  mbarrier.arrive.shared.b64 %d7, [%r6];
  bra NEXT;
CONSUME:
WAIT:
  mbarrier.try_wait.parity.shared::cta.b64 %p3, [%r6], %r7;
  @!%p3 bra WAIT;
  add.u32 %r4, %r3, -512;
  mad.lo.u32 %r8, %r7, 512, %r4;
  ld.shared.u32 %r9, [%r8];
  mad.wide.u32 %d6, %r7, 4, %d4;
  st.global.u32 [%d6], %r9;
NEXT:
  bar.sync 0; // the producer waits for the consumer
  add.u32 %r7, %r7, 1;
  setp.lt.u32 %p4, %r7, 2;
  @%p4 bra ROUND;
  ret;"""
    )
    found = run(body, adversarial=seed, races=True).reshape(64, 4)[32:, :2]
    assert (found == np.arange(32)[:, None] + [0, 1]).all()
    if seed == 0:  # two phases ahead, the parity is again the one that the consumer waits for
        with pytest.raises(ptx.Deadlock, match=r"mbarrier\.try_wait"):
            run(body.replace("bar.sync 0; // the producer", "// the producer"), adversarial=seed)
    with pytest.raises(ptx.Deadlock, match=r"mbarrier.try_wait"):
        run(body.replace("shared.b64 [%r6], 32", "shared.b64 [%r6], 33"), adversarial=seed)
    with pytest.raises((ptx.Race, ptx.Uninitialised)):
        run(
            body.replace(
                "mbarrier.try_wait.parity.shared::cta.b64 %p3, [%r6], %r7;", "setp.eq.u32 %p3, %r7, %r7;"
            ),
            adversarial=seed,
            races=True,
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_mbarrier_of_copies(seed: int | None) -> None:
    body = INIT.replace("COUNT", "64") + """
  cp.async.cg.shared.global [%r3], [%d3], 16;
  cp.async.mbarrier.arrive.noinc.shared.b64 [%r6];
WAIT:
  mbarrier.test_wait.parity.shared.b64 %p3, [%r6], 0;
  @!%p3 bra WAIT;
  xor.b32 %r5, %r1, 63;
  mad.lo.u32 %r3, %r5, 16, %r2;
"""  # fmt: skip
    found = run(body + COPY_OUT, adversarial=seed, races=False)
    assert (found.reshape(64, 4) == DATA.reshape(64, 4)[::-1]).all()
    with pytest.raises((ptx.InFlight, ptx.Uninitialised)):
        run(
            body.replace("mbarrier.test_wait.parity.shared.b64 %p3, [%r6], 0;", "setp.eq.u32 %p3, %r1, %r1;")
            + COPY_OUT,
            adversarial=seed,
        )


def test_tokens_and_misuse_of_mbarriers() -> None:
    body = INIT.replace("COUNT", "2") + """
  setp.eq.u32 %p2, %r1, 32;
  @%p1 mbarrier.arrive.shared.b64 %d7, [%r6];
  @%p2 mbarrier.arrive.shared.b64 %d7, [%r6], 1;
  @!%p1 ret;
  bar.warp.sync 1;
WAIT:
  mbarrier.test_wait.shared.b64 %p3, [%r6], %d7;
  @!%p3 bra WAIT;
  st.global.u64 [%d2], %d7;
  ret;"""  # fmt: skip
    for seed in SEEDS:
        assert run(body, adversarial=seed)[:2].tolist() == [0, 0]
    with pytest.raises(ptx.BadOperand, match=r"no mbarrier was initialised"):
        run("mov.u32 %r6, bar;\n mbarrier.arrive.shared.b64 _, [%r6];\n ret;")
    with pytest.raises(ptx.BadOperand, match=r"expects 1 more in this phase"):
        run(
            INIT.replace("COUNT", "3")
            + "@%p1 mbarrier.arrive.shared.b64 _, [%r6], 2;\n bar.sync 0;\n @%p1 mbarrier.arrive.shared.b64 _, [%r6], 2;\n ret;"
        )
    with pytest.raises(ptx.BadOperand, match=r"initialised twice"):
        run(INIT.replace("COUNT", "3") + "@%p1 mbarrier.init.shared.b64 [%r6], 3;\n ret;")
    with pytest.raises(ptx.BadOperand, match=r"an mbarrier for 0 arrivals"):
        run(INIT.replace("COUNT", "0") + "ret;")
