"""Control flow of the PTX interpreter: divergence, loops, calls, barriers, deadlocks, schedules."""

from __future__ import annotations

import numpy as np
import ptx
import pytest
from ptx_kernels import HEADER, apply, kernel

SEEDS = [None, 0, 1, 2]
OUT = """
  ld.param.u64 %d1, [out];
  mov.u32 %r1, %tid.x;
  mad.wide.u32 %d2, %r1, 4, %d1;
"""


def run(
    body: str,
    threads: int,
    *,
    grid: int = 1,
    out: int | None = None,
    declarations: str = "",
    module: str = "",
    **options,
):
    """Run kernel `k(out)` with a word per thread and return them."""
    memory = ptx.Memory()
    pointer = memory.put(np.zeros(out or threads, np.uint32))
    text = kernel(OUT + body, params=".param .u64 out", declarations=declarations, module=module)
    ptx.load(text).launch("k", grid, threads, [pointer], memory=memory, **options)
    return memory.get(pointer)


@pytest.mark.parametrize("seed", SEEDS)
def test_divergent_loop(seed: int | None) -> None:
    body = """
  mov.u32 %r2, %a;
  mov.u32 %r3, 0;
LOOP:
  setp.eq.u32 %p2, %r2, 1;
  @%p2 bra DONE;
  and.b32 %r4, %r2, 1;
  setp.eq.u32 %p3, %r4, 1;
  @!%p3 bra EVEN;
  mad.lo.u32 %r2, %r2, 3, 1;
  bra.uni NEXT;
EVEN:
  shr.u32 %r2, %r2, 1;
NEXT:
  add.u32 %r3, %r3, 1;
  bra LOOP;
DONE:
  mov.u32 %x, %r3;"""
    a = np.arange(1, 200, dtype=np.uint32)
    (found,) = apply(body, [a], [np.uint32], adversarial=seed)

    def collatz(n: int) -> int:
        steps = 0
        while n != 1:
            n, steps = (3 * n + 1 if n % 2 else n // 2), steps + 1
        return steps

    assert found.tolist() == [collatz(n) for n in a.tolist()]


@pytest.mark.parametrize("seed", SEEDS)
def test_calls(seed: int | None) -> None:
    function = """
.func (.param .b32 result) twice(.param .b32 x, .param .align 4 .b8 pair[8])
{
  .reg .b32 %r<8>;
  .reg .pred %p<2>;
  ld.param.u32 %r1, [x];
  ld.param.u32 %r2, [pair+4];
  setp.gt.u32 %p1, %r1, 10;
  @%p1 bra BIG;
  add.u32 %r1, %r1, %r1;
  st.param.u32 [result], %r1;
  ret;
BIG:
  add.u32 %r1, %r1, %r2;
  st.param.u32 [result], %r1;
  ret;
}
"""
    body = """
  {
    .param .b32 arg;
    .param .align 4 .b8 both[8];
    .param .b32 res;
    st.param.u32 [arg], %r1;
    st.param.u32 [both+4], 500;
    call.uni (res), twice, (arg, both);
    ld.param.u32 %r2, [res];
  }
  {
    .param .b32 arg;
    .param .align 4 .b8 both[8];
    .param .b32 res;
    st.param.u32 [arg], %r2;
    st.param.u32 [both+4], 7;
    call.uni (res), twice, (arg, both);
    ld.param.u32 %r2, [res];
  }
  st.global.u32 [%d2], %r2;
  ret;"""
    found = run(body, 40, module=function, adversarial=seed)

    def twice(x: int, y: int) -> int:
        return x + y if x > 10 else 2 * x

    assert found.tolist() == [twice(twice(t, 500), 7) for t in range(40)]


def test_branch_table() -> None:
    body = """
  and.b32 %r2, %r1, 3;
  mov.u32 %r3, 0;
TABLE: .branchtargets A, B, C, A;
  brx.idx %r2, TABLE;
A:
  add.u32 %r3, %r3, 1;
B:
  add.u32 %r3, %r3, 10;
C:
  add.u32 %r3, %r3, 100;
  st.global.u32 [%d2], %r3;
  ret;"""
    assert run(body, 8, adversarial=1).tolist() == [111, 110, 100, 111] * 2
    with pytest.raises(ptx.BadOperand, match=r"index 4 into 4 targets"):
        run(body.replace("%r1, 3", "%r1, 4"), 8)


@pytest.mark.parametrize("seed", SEEDS)
def test_reversal_through_shared_memory(seed: int | None) -> None:
    body = """
  mov.u32 %r2, s;
  mad.lo.u32 %r3, %r1, 4, %r2;
  st.shared.u32 [%r3], %r1;
  bar.sync 0;
  sub.u32 %r4, 159, %r1;
  mad.lo.u32 %r3, %r4, 4, %r2;
  ld.shared.u32 %r5, [%r3];
  mov.u32 %r6, %ctaid.x;
  mad.lo.u32 %r5, %r6, 1000, %r5;
  mul.lo.u32 %r7, %r6, 160;
  mad.wide.u32 %d2, %r7, 4, %d2;
  st.global.u32 [%d2], %r5;
  ret;"""
    found = run(body, 160, grid=5, out=800, declarations=".shared .align 4 .b8 s[640];", adversarial=seed)
    assert (found.reshape(5, 160) == 1000 * np.arange(5)[:, None] + np.arange(159, -1, -1)).all()


def test_missing_barrier_is_a_race() -> None:
    body = """
  mov.u32 %r2, s;
  mad.lo.u32 %r3, %r1, 4, %r2;
  st.shared.u32 [%r3], %r1;
  BARRIER
  xor.b32 %r4, %r1, 32;
  mad.lo.u32 %r3, %r4, 4, %r2;
  ld.shared.u32 %r5, [%r3];
  SECOND
  st.shared.u32 [%r3], %r5;
  ret;"""
    declare = ".shared .align 4 .b8 s[256];"
    good = body.replace("BARRIER", "bar.sync 0;").replace("SECOND", "")
    run(good, 64, declarations=declare, adversarial=3)
    with pytest.raises(ptx.Race, match=r"writes shared byte .*, read by warp \d"):
        run(
            good.replace("%r4, %r1, 32;", "%r4, %r1, 0;\n and.b32 %r4, %r1, 31;"),
            64,
            declarations=declare,
            races=True,
        )
    for seed in range(4):
        with pytest.raises(ptx.PtxFault, match=f"adversarial={seed}$"):
            run(body.replace("BARRIER", "").replace("SECOND", ""), 64, declarations=declare, adversarial=seed)


def test_threads_of_a_warp_need_a_barrier_of_the_warp() -> None:
    body = """
  mov.u32 %r2, s;
  mad.lo.u32 %r3, %r1, 4, %r2;
  st.shared.u32 [%r3], %r1;
  bar.warp.sync -1;
  xor.b32 %r4, %r1, 5;
  mad.lo.u32 %r3, %r4, 4, %r2;
  ld.shared.u32 %r5, [%r3];
  st.global.u32 [%d2], %r5;
  ret;"""
    declare = ".shared .align 4 .b8 s[256];"
    for seed in SEEDS:
        found = run(body, 64, declarations=declare, races=True, adversarial=seed)
        assert (found == np.arange(64) ^ 5).all()
        with pytest.raises(ptx.Race, match=r"written by another thread of the warp"):
            text = body.replace("bar.warp.sync -1;", "")
            run(text, 64, declarations=declare, races=True, adversarial=seed)


def test_named_barriers_and_arrivals() -> None:
    # Warp 0 produces, warp 1 consumes: the producer arrives without waiting.
    body = """
  mov.u32 %r2, s;
  setp.ge.u32 %p1, %r1, 32;
  @%p1 bra CONSUME;
  mad.lo.u32 %r3, %r1, 4, %r2;
  mad.lo.u32 %r4, %r1, 3, 1;
  st.shared.u32 [%r3], %r4;
  bar.arrive 3, 64;
  ret;
CONSUME:
  bar.sync 3, 64;
  add.u32 %r3, %r1, -32;
  mad.lo.u32 %r3, %r3, 4, %r2;
  ld.shared.u32 %r4, [%r3];
  st.global.u32 [%d2], %r4;
  ret;"""
    declare = ".shared .align 4 .b8 s[128];"
    for seed in SEEDS:
        found = run(body, 64, declarations=declare, adversarial=seed, races=True)
        assert found[32:].tolist() == [3 * i + 1 for i in range(32)]
    with pytest.raises(
        ptx.Deadlock, match=r"line \d+: bar.sync 3, 64;   \(32 threads: block \(0, 0, 0\) warp 1\)"
    ):
        run(body.replace("bar.arrive 3, 64", "bar.arrive 4, 64"), 64, declarations=declare)
    with pytest.raises(ptx.BadOperand, match=r"barrier 3 is used for"):
        run(body.replace("bar.arrive 3, 64", "bar.arrive 3, 96"), 64, declarations=declare)
    with pytest.raises(ptx.BadOperand, match=r"multiple of 32"):
        run("bar.sync 1, 33;\n ret;", 64)
    with pytest.raises(ptx.BadOperand, match=r"barriers 0 to 15"):
        run("bar.sync 16;\n ret;", 64)


def test_barrier_reductions() -> None:
    body = """
  setp.lt.u32 %p1, %r1, 40;
  bar.red.popc.u32 %r2, 0, %p1;
  bar.red.and.pred %p2, 0, %p1;
  barrier.red.or.pred %p3, 1, !%p1;
  selp.u32 %r3, 1000, 0, %p2;
  selp.u32 %r4, 2000, 0, %p3;
  add.u32 %r2, %r2, %r3;
  add.u32 %r2, %r2, %r4;
  st.global.u32 [%d2], %r2;
  ret;"""
    for seed in SEEDS:
        assert (run(body, 64, adversarial=seed) == 2040).all()


def test_deadlock_names_the_lines() -> None:
    body = """
  setp.lt.u32 %p1, %r1, 32;
  @%p1 bar.sync 0;
  @!%p1 bar.sync 1;
  ret;"""
    with pytest.raises(ptx.Deadlock) as caught:
        run(body, 64)
    text = str(caught.value)
    assert "@%p1 bar.sync 0;   (32 threads: block (0, 0, 0) warp 0)" in text and "@!%p1 bar.sync 1;" in text
    # Half of a warp at one barrier, half at another: a warp arrives as a whole or not at all.
    with pytest.raises(ptx.Deadlock):
        run(body.replace("%r1, 32", "%r1, 16"), 32)


@pytest.mark.parametrize("seed", SEEDS)
def test_exited_threads_do_not_hold_up_a_barrier(seed: int | None) -> None:
    body = """
  setp.ge.u32 %p1, %r1, 50;
  @%p1 exit;
  bar.sync 0;
  st.global.u32 [%d2], 1;
  ret;"""
    assert run(body, 100, adversarial=seed).sum() == 50


@pytest.mark.parametrize("seed", SEEDS)
def test_spinning_on_a_lock(seed: int | None) -> None:
    # The waiting loop stands before the release: the lowest program counter alone would spin for ever.
    body = """
SPIN:
  ld.volatile.global.u32 %r2, [%d1];
  setp.ne.u32 %p1, %r2, %r1;
  @%p1 bra SPIN;
  membar.gl;
  add.u32 %r3, %r1, 1;
  st.volatile.global.u32 [%d1], %r3;
  ret;"""
    assert run(body, 6, adversarial=seed)[0] == 6


def test_endless_loop_and_trap() -> None:
    with pytest.raises(ptx.NoProgress, match=r"line \d+: no end after"):
        run("L:\n bra L;", 32, max_steps=10_000)
    with pytest.raises(ptx.Trapped, match=r"trap was executed\n.*\n.*thread \(5, 0, 0\)"):
        run("setp.eq.u32 %p1, %r1, 5;\n @%p1 trap;\n ret;", 32)


def test_functions_without_a_body() -> None:
    text = HEADER + ".extern .func (.param .b32 r) vprintf(.param .b64 a, .param .b64 b);\n" + kernel("""
  .param .b64 a; .param .b64 b; .param .b32 c;
  call.uni (c), vprintf, (a, b);
  ret;""").replace(HEADER, "")  # fmt: skip
    with pytest.raises(ptx.UnsupportedPtx, match=r"call of vprintf, which has no body"):
        ptx.load(text).launch("k", 1, 1, [], memory=ptx.Memory())


def test_grids_and_launch_errors() -> None:
    module = ptx.load(kernel("  ret;"))
    memory = ptx.Memory()
    for bad in (0, (1, 0), (1, 1, 1, 1)):
        with pytest.raises(ptx.PtxError, match=r"is no size of a grid or a block"):
            module.launch("k", bad, 32, [], memory=memory)
    with pytest.raises(ptx.PtxError, match=r"at most 1024"):
        module.launch("k", 1, (32, 33), [], memory=memory)
    assert module.kernels == ["k"]
    assert module.launch("k", (3, 2), 33, [], memory=memory) == 3 * 2 * 33
