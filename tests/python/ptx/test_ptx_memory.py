"""Memory of the PTX interpreter: exact bounds, alignment, spaces, vectors, atomics."""

from __future__ import annotations

import numpy as np
import ptx
import pytest
from ptx_kernels import apply, kernel

START = """
  ld.param.u64 %d1, [in];
  ld.param.u64 %d2, [out];
  mov.u32 %r1, %tid.x;
  mul.wide.u32 %d3, %r1, 4;
  add.u64 %d4, %d1, %d3;
  add.u64 %d5, %d2, %d3;
"""
PARAMS = ".param .u64 in, .param .u64 out"


def run(
    body: str,
    data: np.ndarray,
    threads: int = 32,
    *,
    out: int = 32,
    declarations: str = "",
    writable=False,
    align=256,
    **options,
):
    """Run `in`, `out` kernels over uint32 arrays and return the output."""
    memory = ptx.Memory()
    source = memory.put(data, writable=writable, align=align, name="in")
    target = memory.empty(out, np.uint32, name="out")
    module = ptx.load(kernel(START + body, params=PARAMS, declarations=declarations))
    module.launch("k", 1, threads, [source, target], memory=memory, **options)
    return memory.get(target)


DATA = np.arange(100, 132, dtype=np.uint32)
COPY = "ld.global.u32 %r2, [%d4];\n st.global.u32 [%d5], %r2;\n ret;"


def test_copy_and_bounds() -> None:
    assert (run(COPY, DATA) == DATA).all()
    with pytest.raises(
        ptx.OutOfBounds, match=r"4 bytes past the end of in.*\n.*ld.global.*\n.*thread \(31, 0, 0\)"
    ):
        run(COPY, DATA[:31])
    with pytest.raises(ptx.OutOfBounds, match=r"past the end of out.*\n.*st.global.*\n.*thread \(30, 0, 0\)"):
        run(COPY, DATA, out=30)
    with pytest.raises(ptx.OutOfBounds, match=r"bytes before in"):
        run("ld.global.u32 %r2, [%d1+-4];\n ret;", DATA)
    with pytest.raises(ptx.OutOfBounds):
        run("cvt.u32.u64 %r5, %d4;\n cvt.u64.u32 %d4, %r5;\n" + COPY, DATA)  # a pointer cut to 32 bits


def test_read_only() -> None:
    store = "st.global.u32 [%d4], %r1;\n ret;"
    with pytest.raises(ptx.ReadOnly, match=r"store to in"):
        run(store, DATA)
    run(store, DATA, writable=True)


def test_alignment() -> None:
    vector = "ld.global.v4.u32 {%r2, %r3, %r4, %r5}, [%d1];\n st.global.u32 [%d5], %r5;\n ret;"
    assert (run(vector, DATA) == DATA[3]).all()
    with pytest.raises(ptx.Misaligned, match=r"is not a multiple of 16"):
        run(vector, DATA, align=8)
    with pytest.raises(ptx.Misaligned, match=r"is not a multiple of 4"):
        run("ld.global.u32 %r2, [%d4+2];\n ret;", DATA)


def test_vectors_and_small_types() -> None:
    body = """
  mul.wide.u32 %d6, %r1, 8;
  add.u64 %d6, %d6, %d1;
  ld.global.v4.u16 {%h1, %h2, %h3, %h4}, [%d6];
  ld.global.nc.L1::no_allocate.v2.b32 {%r2, %r3}, [%d6];
  ld.global.s8 %r4, [%d6+7];
  ld.global.u8 %h5, [%d6+1];
  cvt.u32.u16 %r5, %h3;
  cvt.u32.u16 %r6, %h5;
  mul.wide.u32 %d7, %r1, 16;
  add.u64 %d7, %d7, %d2;
  st.global.cs.v4.b32 [%d7], {%r3, %r4, %r5, %r6};
  ret;"""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**32, 16, dtype=np.uint32)
    found = run(body, words, 8, out=32).reshape(8, 4)
    bytes_ = words.view(np.uint8).reshape(8, 8)
    assert (found[:, 0] == words[1::2]).all()
    assert (found[:, 1].view(np.int32) == bytes_[:, 7].view(np.int8)).all()
    assert (found[:, 2] == words.view(np.uint16).reshape(8, 4)[:, 2]).all()
    assert (found[:, 3] == bytes_[:, 1]).all()


def test_shared_memory_has_exact_bounds() -> None:
    body = """
  mov.u32 %r2, first;
  shl.b32 %r3, %r1, 2;
  add.u32 %r2, %r2, %r3;
  st.shared.u32 [%r2], %r1;
  bar.sync 0;
  xor.b32 %r4, %r3, 124;
  mov.u64 %d6, first;
  cvt.u64.u32 %d7, %r4;
  add.u64 %d6, %d6, %d7;
  ld.shared.u32 %r5, [%d6];
  st.global.u32 [%d5], %r5;
  ret;"""
    declare = ".shared .align 4 .b8 first[128]; .shared .align 4 .b8 second[128];"
    for seed in (None, 0, 1):
        assert (run(body, DATA, declarations=declare, adversarial=seed) == 31 - np.arange(32)).all()
    with pytest.raises(ptx.OutOfBounds, match=r"shared memory.*past the end of first"):
        run(body.replace("bar.sync", "mov.u32 %r6, second; bar.sync"), DATA, 33, declarations=declare)


def test_dynamic_shared_memory() -> None:
    text = kernel(
        START + "  mov.u32 %r2, dynamic;\n  mad.lo.u32 %r2, %r1, 4, %r2;\n  st.shared.u32 [%r2+4], %r1;\n  ret;",
        params=PARAMS, module=".extern .shared .align 1024 .b8 dynamic[];",
    )  # fmt: skip
    memory = ptx.Memory()
    module = ptx.load(text)
    module.launch("k", 1, 32, [0, 0], memory=memory, shared_bytes=132)
    with pytest.raises(ptx.OutOfBounds, match=r"past the end of dynamic shared memory"):
        module.launch("k", 1, 32, [0, 0], memory=memory, shared_bytes=128)
    with pytest.raises(ptx.OutOfBounds):
        module.launch("k", 1, 32, [0, 0], memory=memory)


def test_uninitialised_shared_memory() -> None:
    body = "mov.u32 %r2, s;\n ld.shared.u32 %r3, [%r2];\n st.global.u32 [%d5], %r3;\n ret;"
    with pytest.raises(ptx.Uninitialised, match=r"shared memory that nothing has written"):
        run(body, DATA, declarations=".shared .align 4 .b8 s[128];")
    run(body, DATA, declarations=".shared .align 4 .b8 s[128];", strict=False)


def test_local_memory_is_private() -> None:
    body = """
  mov.u64 %d6, depot;
  cvta.local.u64 %d7, %d6;
  st.local.u32 [%d6+8], %r1;
  ld.u32 %r2, [%d7+8];
  st.u32 [%d7+12], %r2;
  ld.local.v2.u32 {%r3, %r4}, [%d6+8];
  add.u32 %r5, %r3, %r4;
  st.global.u32 [%d5], %r5;
  ret;"""
    declare = ".local .align 16 .b8 depot[16];"
    assert (run(body, DATA, declarations=declare) == 2 * np.arange(32)).all()
    with pytest.raises(ptx.OutOfBounds, match=r"local memory"):
        run(body.replace("[%d7+12]", "[%d7+16]"), DATA, declarations=declare)


def test_generic_addresses_of_several_spaces() -> None:
    body = """
  mov.u64 %d6, s;
  cvta.shared.u64 %d6, %d6;
  add.u64 %d6, %d6, %d3;
  setp.lt.u32 %p1, %r1, 16;
  selp.b64 %d7, %d6, %d5, %p1;
  st.u32 [%d7], %r1;
  ld.u32 %r2, [%d7];
  isspacep.shared %p2, %d7;
  @%p2 add.u32 %r2, %r2, 1000;
  st.global.u32 [%d5], %r2;
  ret;"""
    found = run(body, DATA, declarations=".shared .align 4 .b8 s[128];")
    assert found.tolist() == [1000 + i for i in range(16)] + list(range(16, 32))


@pytest.mark.parametrize("seed", [None, 5])
def test_atomics(seed: int | None) -> None:
    body = """
  atom.global.add.u32 %r2, [%d2], 1;
  atom.global.max.s32 %r3, [%d2+4], %r1;
  red.global.add.f32 [%d2+8], 0f3F800000;
  atom.global.cas.b32 %r4, [%d2+12], 0, %r1;
  atom.global.exch.b32 %r5, [%d2+16], %r1;
  red.relaxed.gpu.global.or.b32 [%d2+20], %r1;
  atom.global.inc.u32 %r6, [%d2+24], 9;
  atom.global.min.u32 %r7, [%d2+28], %r1;
  add.u64 %d6, %d5, 32;
  st.global.u32 [%d6], %r2;
  ret;"""
    memory = ptx.Memory()
    start = np.zeros(8 + 96, np.uint32)
    start[7] = 50
    out = memory.put(start)
    ptx.load(kernel(START + body, params=PARAMS)).launch(
        "k", 1, 96, [out, out], memory=memory, adversarial=seed
    )
    found = memory.get(out)
    assert found[0] == 96 and found[1] == 95 and found[2:3].view(np.float32)[0] == 96
    assert 0 < found[3] < 96 and found[4] < 96 and found[5] == 127 and found[6] == 96 % 10 and found[7] == 0
    order = found[8:]
    assert sorted(order.tolist()) == list(range(96))
    assert (order == np.arange(96)).all() == (seed is None)


def test_atomics_of_pairs_and_shared() -> None:
    body = """
  mov.u32 %r2, s;
  setp.eq.u32 %p1, %r1, 0;
  mov.u32 %r9, 0;
  @%p1 st.shared.u32 [%r2], %r9;
  bar.sync 0;
  mov.b32 %r3, 0x40003C00;
  atom.shared.add.noftz.f16x2 %r4, [%r2], %r3;
  bar.sync 0;
  ld.shared.u32 %r5, [%r2];
  st.global.u32 [%d5], %r5;
  ret;"""
    found = run(body, DATA, declarations=".shared .align 4 .b8 s[4];", adversarial=2)
    assert (found.view(np.float16).reshape(-1, 2) == [32, 64]).all()


def test_host_side() -> None:
    memory = ptx.Memory()
    big = np.arange(100_000, dtype=np.float64).reshape(100, 1000)
    pointer = memory.put(big)
    assert (
        pointer % 256 == 0 and (memory.get(pointer) == big).all() and memory.get(pointer).shape == (100, 1000)
    )
    assert memory.put(np.zeros(3), align=16) % 32 == 16
    assert memory.get(memory.empty((0, 4), np.int8)).shape == (0, 4)
    with pytest.raises(ptx.PtxError, match=r"no pointer that this memory gave out"):
        memory.get(pointer + 8)
    (found,) = apply("mov.u32 %x, 1;", [np.zeros(1, np.uint32)], [np.uint32])
    assert found.tolist() == [1]
