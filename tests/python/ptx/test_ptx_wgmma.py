"""`wgmma` of the PTX interpreter: operands built by CuTe's canonical layouts, results by the manual's accumulator layout."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import ptx
import pytest
from ptx_kernels import kernel

SEEDS = [None, 0]
KINDS = {
    "f16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16), "tf32": np.dtype(np.float32),
    "e4m3": np.dtype(ml_dtypes.float8_e4m3fn), "s8": np.dtype(np.int8), "u8": np.dtype(np.uint8),
}  # fmt: skip
MODES = {128: 1, 64: 2, 32: 3, 0: 0}
BITS = {0: 0, 32: 1, 64: 2, 128: 3}


def k_major(row: int, k: int, size: int, span: int, leading: int, stride: int) -> int:
    """Return the byte offset before the swizzle: ((8, m), (T, 2)) : ((span, SBO), (1, T)), T = 16 bytes; (1, LBO) without."""
    byte = k * size
    if span:
        return row % 8 * span + row // 8 * stride + byte
    return row % 8 * 16 + row // 8 * stride + byte % 16 + byte // 16 * leading


def mn_major(row: int, k: int, size: int, span: int, leading: int, stride: int) -> int:
    """Return the byte offset before the swizzle: ((T, w, m), (8, k)) : ((1, T, LBO), (span, SBO)); SBO and LBO swapped without."""
    byte = row * size
    if span:
        return byte % span + byte // span * leading + k % 8 * span + k // 8 * stride
    return byte % 16 + byte // 16 * stride + k % 8 * 16 + k // 8 * leading


def offsets(span: int, major: str, rows: int, k: int, size: int) -> tuple[int, int]:
    """Return the leading and the stride byte offset of a dense tile."""
    if major == "k":
        return (128, 256) if not span else (16, 8 * span)
    if not span:
        return rows * size // 16 * 128, 128
    return k * span, 8 * span


def stored(matrix: np.ndarray, span: int, major: str, total: int) -> tuple[np.ndarray, int]:
    """Return the bytes of shared memory that hold a matrix (rows × k), and the descriptor for address 0."""
    rows, k = matrix.shape
    size = matrix.dtype.itemsize
    leading, stride = offsets(span, major, rows, k, size)
    place = k_major if major == "k" else mn_major
    raw = np.zeros(total, np.uint8)
    bytes_ = np.ascontiguousarray(matrix).view(np.uint8).reshape(rows, k, size)
    for row in range(rows):
        for column in range(k):
            at = place(row, column, size, span, leading, stride)
            at ^= (at >> 3) & (((1 << BITS[span]) - 1) << 4)
            raw[at : at + size] = bytes_[row, column]
    return raw, (leading >> 4) << 16 | (stride >> 4) << 32 | MODES[span] << 62


def accumulator(matrix: np.ndarray) -> np.ndarray:
    """Return the accumulators of 128 threads (thread, element) of a 64 × N matrix."""
    n = matrix.shape[1]
    result = np.empty((128, n // 2), matrix.dtype)
    for thread in range(128):
        warp, lane = divmod(thread, 32)
        for i in range(n // 2):
            row = 16 * warp + lane // 4 + 8 * (i // 2 % 2)
            result[thread, i] = matrix[row, 8 * (i // 4) + 2 * (lane % 4) + i % 2]
    return result


def run(opcode: str, a, b, c: np.ndarray, tail: str, *, a_registers: np.ndarray | None = None, wait: str = "wgmma.wait_group.sync.aligned 0;",
        fence: str = "wgmma.fence.sync.aligned;", between: str = "", proxy: str = "fence.proxy.async.shared::cta;", threads: int = 128, loaded: bool = True, **options) -> np.ndarray:  # fmt: skip
    """Run one wgmma: (bytes, descriptor) of A (or registers) and B, accumulators c (128 × words; nothing in them unless `loaded`), return the new ones."""
    words = c.shape[1]
    size = a[0].size
    accumulators = (
        [f"%r{64 + i}" for i in range(words)] if words <= 60 else [f"%acc{i}" for i in range(words)]
    )
    copy = f"""
  mov.u32 %r2, %r1;
FILL:
  setp.ge.u32 %p1, %r2, {2 * size // 4};
  @%p1 bra FILLED;
  mad.wide.u32 %d4, %r2, 4, %d1;
  ld.global.u32 %r3, [%d4];
  mov.u32 %r4, operands;
  mad.lo.u32 %r4, %r2, 4, %r4;
  st.shared.u32 [%r4], %r3;
  add.u32 %r2, %r2, 128;
  bra FILL;
FILLED:
  {proxy}
  bar.sync 0;"""
    loads = [f"  ld.global.u32 {r}, [%d2+{4 * i}];" for i, r in enumerate(accumulators) if loaded]
    stores = [f"  st.global.u32 [%d3+{4 * i}], {r};" for i, r in enumerate(accumulators)]
    if a_registers is not None:
        loads += [
            "  ld.param.u64 %d9, [ar];",
            "  mad.wide.u32 %d9, %r1, 16, %d9;",
            "  ld.global.v4.u32 {%r10, %r11, %r12, %r13}, [%d9];",
        ]
    body = f"""
  mov.u32 %r1, %tid.x;
  ld.param.u64 %d1, [in];
  ld.param.u64 %d2, [c];
  ld.param.u64 %d3, [out];
  mad.wide.u32 %d2, %r1, {4 * words}, %d2;
  mad.wide.u32 %d3, %r1, {4 * words}, %d3;
{copy}
{chr(10).join(loads)}
  mov.u32 %r5, operands;
  shr.u32 %r5, %r5, 4;
  cvt.u64.u32 %d5, %r5;
  add.u64 %d6, %d5, {a[1]};
  add.u64 %d7, %d5, {b[1] + (size >> 4)};
  setp.ne.u32 %p2, %r1, 100000;
  {fence}
  {opcode} {{{", ".join(accumulators)}}}, {"{%r10, %r11, %r12, %r13}" if a_registers is not None else "%d6"}, %d7, {tail};
  wgmma.commit_group.sync.aligned;
  {between}
  {wait}
{chr(10).join(stores)}
  ret;"""
    declare = f".shared .align 1024 .b8 operands[{2 * size}]; .reg .b32 %acc<130>;"
    text = kernel(
        body, params=".param .u64 in, .param .u64 c, .param .u64 out, .param .u64 ar", declarations=declare
    )
    memory = ptx.Memory()
    pointer = memory.put(np.concatenate([a[0], b[0]]), writable=False, name="operands")
    given, out = memory.put(np.ascontiguousarray(c).view(np.uint32)), memory.empty((128, words), np.uint32)
    registers = memory.put(a_registers) if a_registers is not None else 0
    ptx.load(text).launch("k", 1, threads, [pointer, given, out, registers], memory=memory, **options)
    return memory.get(out)


def operands(kind: str, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return random A (64 × k), B (n × k) and C."""
    rng = np.random.default_rng(seed)
    dtype = KINDS[kind]
    k = 32 // dtype.itemsize
    if kind in ("s8", "u8"):
        low, high = (-128, 128) if kind == "s8" else (0, 256)
        return (
            *(rng.integers(low, high, (rows, k)).astype(dtype) for rows in (64, n)),
            rng.integers(-1000, 1000, (64, n)).astype(np.int32),
        )  # type: ignore[return-value]
    a, b = (rng.integers(-4, 5, (rows, k)).astype(dtype) for rows in (64, n))
    return a, b, rng.integers(-4, 5, (64, n)).astype(np.float32)


@pytest.mark.parametrize("span", [0, 32, 64, 128])
@pytest.mark.parametrize("kind", ["f16", "bf16", "tf32", "e4m3", "s8", "u8"])
def test_types_and_swizzles(kind: str, span: int) -> None:
    n = 16
    a, b, c = operands(kind, n)
    k = a.shape[1]
    result = "s32" if kind in ("s8", "u8") else "f32"
    tail = {
        "f16": "%p2, 1, 1, 0, 0",
        "bf16": "%p2, 1, 1, 0, 0",
        "tf32": "%p2, 1, 1",
        "e4m3": "%p2, 1, 1",
    }.get(kind, "%p2")
    opcode = f"wgmma.mma_async.sync.aligned.m64n{n}k{k}.{result}.{kind}.{kind}"
    expected = (a.astype(np.float64) @ b.T.astype(np.float64) + c).astype(c.dtype)
    found = run(opcode, stored(a, span, "k", 16384), stored(b, span, "k", 16384), accumulator(c), tail)
    assert (found.view(c.dtype) == accumulator(expected)).all()


def test_tf32_drops_the_bits_that_it_has_not() -> None:
    """Nobody rounds what tensor cores read from shared memory: the lower 13 bits do not count."""
    rng = np.random.default_rng(5)
    a, b = (rng.standard_normal((rows, 8)).astype(np.float32) for rows in (64, 16))
    c = np.zeros((64, 16), np.float32)
    cut_a, cut_b = ((x.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32) for x in (a, b))
    expected = (cut_a.astype(np.float64) @ cut_b.T.astype(np.float64)).astype(np.float32)
    opcode = "wgmma.mma_async.sync.aligned.m64n16k8.f32.tf32.tf32"
    found = run(opcode, stored(a, 32, "k", 16384), stored(b, 32, "k", 16384), accumulator(c), "%p2, 1, 1")
    assert (found.view(np.float32) == accumulator(expected)).all()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("span", [0, 32, 64, 128])
@pytest.mark.parametrize("majors", ["k mn", "mn k", "mn mn"])
def test_transposed_operands(majors: str, span: int, seed: int | None) -> None:
    a, b, c = operands("f16", 128)
    first, second = majors.split()
    tail = f"%p2, 1, 1, {int(first == 'mn')}, {int(second == 'mn')}"
    expected = (a.astype(np.float64) @ b.T.astype(np.float64) + c).astype(np.float32)
    opcode = "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16"
    found = run(
        opcode,
        stored(a, span, first, 16384),
        stored(b, span, second, 16384),
        accumulator(c),
        tail,
        adversarial=seed,
    )
    assert (found.view(np.float32) == accumulator(expected)).all()


def test_scales_and_f16_results() -> None:
    a, b, c = operands("f16", 8)
    product = a.astype(np.float64) @ b.T.astype(np.float64)
    parts = stored(a, 128, "k", 8192), stored(b, 128, "k", 8192)
    opcode = "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16"
    found = run(opcode, *parts, accumulator(c), "%p2, -1, 1, 0, 0")
    assert (found.view(np.float32) == accumulator((c - product).astype(np.float32))).all()
    found = run(
        opcode,
        *parts,
        accumulator(c),
        "%p2, 1, 1, 0, 0",
        fence="setp.eq.u32 %p2, %r1, 100000;\n wgmma.fence.sync.aligned;",
    )
    assert (found.view(np.float32) == accumulator(product.astype(np.float32))).all()
    # Accumulators that do not count need not hold anything; those that do must.
    none = "setp.eq.u32 %p2, %r1, 100000;\n wgmma.fence.sync.aligned;"
    found = run(opcode, *parts, accumulator(c), "%p2, 1, 1, 0, 0", fence=none, loaded=False)
    assert (found.view(np.float32) == accumulator(product.astype(np.float32))).all()
    with pytest.raises(ptx.Uninitialised):
        run(opcode, *parts, accumulator(c), "%p2, 1, 1, 0, 0", loaded=False)
    half = c.astype(np.float16)
    found = run(
        opcode.replace("f32.f16", "f16.f16"), *parts, accumulator(half).view(np.uint32), "%p2, 1, 1, 0, 0"
    )
    assert (found.view(np.float16) == accumulator((product + half).astype(np.float16))).all()


def test_a_in_registers() -> None:
    a, b, c = operands("bf16", 64)
    registers = np.empty((128, 8), a.dtype)
    for thread in range(128):
        warp, lane = divmod(thread, 32)
        for i in range(8):
            row = 16 * warp + lane // 4 + (8 if i // 2 % 2 else 0)
            registers[thread, i] = a[row, 2 * (lane % 4) + i % 2 + (8 if i >= 4 else 0)]
    expected = (a.astype(np.float64) @ b.T.astype(np.float64) + c).astype(np.float32)
    opcode = "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16"
    for major in ("k", "mn"):
        b_part = stored(b, 128, major, 8192)
        found = run(opcode, (np.zeros(8192, np.uint8), 0), b_part, accumulator(c), f"%p2, 1, 1, {int(major == 'mn')}",
                    a_registers=registers.view(np.uint32))  # fmt: skip
        assert (found.view(np.float32) == accumulator(expected)).all()
    # Another product may read the same registers while this one is in flight; nothing may write them, or add to them.
    sums = ", ".join(f"%r{64 + i}" for i in range(32))
    again = f"{opcode} {{{sums}}}, {{%r10, %r11, %r10, %r13}}, %d7, %p2, 1, 1, 1;\n wgmma.commit_group.sync.aligned;"

    def twice(between: str) -> np.ndarray:
        return run(opcode, (np.zeros(8192, np.uint8), 0), b_part, accumulator(c), "%p2, 1, 1, 1", between=between,
                   a_registers=registers.view(np.uint32))  # fmt: skip

    assert not (twice(again) == found).all()
    for wrong in ("mov.b32 %r10, %r1;", again.replace("%r64,", "%r10,", 1)):
        with pytest.raises(ptx.InFlight):
            twice(wrong)


OPCODE = "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16"


@pytest.mark.parametrize("seed", SEEDS)
def test_faults(seed: int | None) -> None:
    a, b, c = operands("f16", 8)
    first, second = stored(a, 128, "k", 8192), stored(b, 128, "k", 8192)
    start, tail = accumulator(c), "%p2, 1, 1, 0, 0"
    good = run(OPCODE, first, second, start, tail, adversarial=seed)

    def wrong(expected, *, left=first, right=second, **options):
        with pytest.raises(expected):
            run(OPCODE, left, right, start, tail, adversarial=seed, **options)

    wrong(ptx.InFlight, wait="")
    wrong(ptx.InFlight, wait="wgmma.wait_group.sync.aligned 1;")
    wrong(ptx.InFlight, between="mov.b32 %r64, %r1;")
    wrong(
        (ptx.Race, ptx.InFlight),
        between="setp.eq.u32 %p5, %r1, 100;\n @%p5 st.shared.u32 [operands], %r1;",
        races=True,
    )
    wrong(ptx.BadOperand, left=(first[0], first[1] + 8))  # not at the start of a swizzle
    wrong(ptx.BadOperand, left=(first[0], first[1] | 1 << 49))  # a base offset
    wrong(ptx.BadOperand, left=(first[0], first[1] | 1 << 14))
    wrong(ptx.OutOfBounds, left=(first[0], first[1] + (1024 << 32 >> 4) * 16))
    wrong(ptx.Divergence, threads=96, strict=False)
    wrong(ptx.MissingFence, fence="")
    with pytest.raises(ptx.MissingFence, match=r"written since the last fence\.proxy\.async"):
        run(OPCODE, first, second, start, tail, adversarial=seed, proxy="")
    # Other descriptors read other bytes: wrong numbers.
    for value in (first[1] & ~(3 << 62), first[1] ^ 3 << 62, first[1] - (32 << 32), first[1] + 2):
        assert (
            run(OPCODE, (first[0], value), second, start, tail, adversarial=seed, strict=False) != good
        ).any()


def test_registers_of_a_warpgroup() -> None:
    body = "  setmaxnreg.dec.sync.aligned.u32 40;\n  setmaxnreg.inc.sync.aligned.u32 232;\n  ret;"
    ptx.load(kernel(body)).launch("k", 1, 128, [], memory=ptx.Memory())
    with pytest.raises(ptx.UnsupportedPtx, match="multiple of 8 from 24 to 256, not 20"):
        ptx.load(kernel(body.replace("40", "20"))).launch("k", 1, 128, [], memory=ptx.Memory())
