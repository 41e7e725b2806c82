"""Bulk copies of the PTX interpreter: bytes, tiles of tensors with swizzles and edges, stores, clusters."""

from __future__ import annotations

import numpy as np
import ptx
import pytest
from ptx_kernels import kernel

SEEDS = [None, 0, 1]
MAP = ".param .align 64 .b8 map[128]"


def swizzle(offset: np.ndarray, bits: int) -> np.ndarray:
    """Return byte offsets under CuTe's Swizzle<bits, 4, 3>."""
    return offset ^ ((offset >> 3) & (((1 << bits) - 1) << 4))


def load_tile(
    tensor: np.ndarray,
    box: tuple[int, ...],
    start: tuple[int, ...],
    *,
    span: int = 0,
    nan: bool = False,
    tf32: bool = False,
    **options,
):
    """Load a tile (box and start innermost first) and return the bytes of shared memory, in the order of addresses."""
    size = int(np.prod(box)) * tensor.itemsize
    words = size // 4
    coordinates = ", ".join(str(c) for c in start)
    body = f"""
  mov.u32 %r1, %tid.x;
  mov.u32 %r2, tile;
  mov.u32 %r3, bar;
  setp.eq.u32 %p1, %r1, 0;
  @%p1 mbarrier.init.shared::cta.b64 [%r3], 1;
  fence.mbarrier_init.release.cluster;
  bar.sync 0;
  mov.b64 %d1, map;
  cvta.param.u64 %d2, %d1;
  @!%p1 bra WAIT;
  mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r3], {size};
  cp.async.bulk.tensor.{len(box)}d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r2], [%d2, {{{coordinates}}}], [%r3];
WAIT:
  mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r3], 0;
  @!%p2 bra WAIT;
  ld.param.u64 %d3, [out];
  mov.u32 %r4, %r1;
COPY:
  setp.ge.u32 %p3, %r4, {words};
  @%p3 bra END;
  mad.lo.u32 %r5, %r4, 4, %r2;
  ld.shared.u32 %r6, [%r5];
  mad.wide.u32 %d4, %r4, 4, %d3;
  st.global.u32 [%d4], %r6;
  add.u32 %r4, %r4, 64;
  bra COPY;
END:
  ret;"""
    declare = f".shared .align 8 .b64 bar; .shared .align 1024 .b8 tile[{size}];"
    text = kernel(body, params=f"{MAP}, .param .u64 out", declarations=declare)
    memory = ptx.Memory()
    pointer, out = memory.put(tensor, writable=False, name="tensor"), memory.empty(size, np.uint8)
    argument = ptx.tensor_map(
        pointer, tensor.dtype, tensor.shape[::-1], box, swizzle=span, nan=nan, tf32=tf32
    )
    ptx.load(text).launch("k", 1, 64, [argument, out], memory=memory, **options)
    return memory.get(out)


def expected_tile(tensor: np.ndarray, box: tuple[int, ...], start: tuple[int, ...], fill) -> np.ndarray:
    """Return the tile in C order, with `fill` outside of the tensor."""
    result = np.full(box[::-1], fill, tensor.dtype)
    for index in np.ndindex(*box[::-1]):
        place = tuple(i + s for i, s in zip(index, start[::-1]))
        if all(0 <= p < n for p, n in zip(place, tensor.shape)):
            result[index] = tensor[place]
    return result


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("span,bits", [(0, 0), (32, 1), (64, 2), (128, 3)])
def test_swizzles(span: int, bits: int, seed: int | None) -> None:
    tensor = np.arange(40 * 72, dtype=np.uint16).reshape(40, 72)
    box = ((span or 128) // 2, 24)
    found = load_tile(tensor, box, (8, 5), span=span, adversarial=seed)
    tile = expected_tile(tensor, box, (8, 5), 0).reshape(-1)
    places = swizzle(np.arange(tile.size) * 2, bits)
    assert (found.view(np.uint16)[places // 2] == tile).all()


@pytest.mark.parametrize("start", [(0, 0), (24, 30), (-8, -3), (64, 0), (0, 36)])
def test_edges(start: tuple[int, int]) -> None:
    tensor = np.arange(36 * 40, dtype=np.float32).reshape(36, 40)
    found = load_tile(tensor, (16, 8), start).view(np.float32)
    assert (found == expected_tile(tensor, (16, 8), start, 0).ravel()).all()
    marked = load_tile(tensor, (16, 8), start, nan=True).view(np.float32)
    expected = expected_tile(tensor, (16, 8), start, np.nan).ravel()
    assert ((marked == expected) | (np.isnan(marked) & np.isnan(expected))).all()


def test_tf32_is_rounded_on_the_way() -> None:
    """To nearest, ties to even, also into the next power of two; what is not finite stays."""
    line = np.ones(32, np.float32)
    line[:5] = 1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-11 + 2**-23, -2 + 2**-13, np.inf
    line[5:7] = np.finfo(np.float32).max, 1 + 2**-12
    line[7:8].view(np.uint32)[0] = 0xFFFFFFFF  # NaN
    found = load_tile(line, (32,), (0,), tf32=True).view(np.float32)
    assert found[:7].tolist() == [1, 1 + 2**-9, 1 + 2**-10, -2, np.inf, np.inf, 1]
    assert found[7:8].view(np.uint32)[0] == 0xFFFFFFFF and (found[8:] == 1).all()
    assert load_tile(line, (32,), (0,)).tobytes() == line.tobytes()


def test_other_ranks() -> None:
    line = np.arange(100, dtype=np.uint32)
    assert (load_tile(line, (32,), (80,)).view(np.uint32) == expected_tile(line, (32,), (80,), 0)).all()
    cube = np.arange(5 * 6 * 16, dtype=np.uint32).reshape(5, 6, 16)
    box, start = (8, 3, 2), (4, 4, 3)
    assert (load_tile(cube, box, start).view(np.uint32) == expected_tile(cube, box, start, 0).ravel()).all()


def test_tensor_maps_are_checked() -> None:
    for wrong, match in [
        ({"pointer": 8}, "the address is a multiple of 16"),
        ({"shape": (70, 4)}, "strides are multiples of 16"),
        ({"box": (4, 2)}, "inner size of a tile is a multiple of 16 bytes"),
        ({"swizzle": 16}, "swizzle is 0, 32, 64 or 128"),
        ({"swizzle": 32, "box": (32, 2)}, "fits the swizzle"),
        ({"box": (8, 257)}, "1 to 256 elements"),
        ({"box": (8,)}, "rank"),
    ]:
        good = {"pointer": 256, "dtype": np.float16, "shape": (64, 4), "box": (8, 2)}
        with pytest.raises(ptx.PtxError, match=match):
            ptx.tensor_map(**(good | wrong))


BYTES = """
  mov.u32 %r1, %tid.x;
  mov.u32 %r2, buffer;
  mov.u32 %r3, bar;
  ld.param.u64 %d1, [in];
  ld.param.u64 %d2, [out];
  setp.eq.u32 %p1, %r1, 0;
  @!%p1 bra READY;
  mbarrier.init.shared::cta.b64 [%r3], 1;
  mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r3], 512;
  cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r2], [%d1], 256, [%r3];
  cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [%r2+256], [%d1+256], 256, [%r3];
READY:
  bar.sync 0;
WAIT:
  mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r3], 0;
  @!%p2 bra WAIT;
  mad.lo.u32 %r4, %r1, 4, %r2;
  ld.shared.u32 %r5, [%r4];
  add.u32 %r5, %r5, 1000;
  st.shared.u32 [%r4], %r5;
  fence.proxy.async.shared::cta;
  bar.sync 0;
  @!%p1 ret;
  cp.async.bulk.global.shared::cta.bulk_group [%d2], [%r2], 512;
  cp.async.bulk.commit_group;
  cp.async.bulk.wait_group.read 0;
  st.shared.u32 [%r2], 7;
  ret;
"""


def run_bytes(text: str, **options) -> np.ndarray:
    """Copy 512 bytes in, add 1000 to each word, copy them out."""
    declare = ".shared .align 8 .b64 bar; .shared .align 128 .b8 buffer[512];"
    memory = ptx.Memory()
    source = memory.put(np.arange(128, dtype=np.uint32), writable=False, name="in")
    out = memory.empty(128, np.uint32, name="out")
    text = kernel(text, params=".param .u64 in, .param .u64 out", declarations=declare)
    ptx.load(text).launch("k", 1, 128, [source, out], memory=memory, **options)
    return memory.get(out)


@pytest.mark.parametrize("seed", SEEDS)
def test_bytes_in_and_out(seed: int | None) -> None:
    assert (run_bytes(BYTES, adversarial=seed) == np.arange(128) + 1000).all()


FAULTS = {
    "too many bytes expected": ("_, [%r3], 512", "_, [%r3], 528", ptx.Deadlock),
    "no wait": ("mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r3], 0;", "setp.eq.u32 %p2, %r1, %r1;", ptx.InFlight),
    "wrong parity": ("%p2, [%r3], 0;", "%p2, [%r3], 1;", ptx.InFlight),
    "size no multiple of 16": ("[%d1], 256,", "[%d1], 248,", ptx.BadOperand),
    "copies overlap": ("[%r2+256], [%d1+256]", "[%r2+128], [%d1+256]", ptx.InFlight),
    "past the end": ("[%d1+256], 256", "[%d1+256], 272", ptx.OutOfBounds),
    "past the end of shared memory": ("[%r2+256], [%d1+256]", "[%r2+272], [%d1+256]", ptx.OutOfBounds),
    "no barrier before the store": ("fence.proxy.async.shared::cta;\n  bar.sync 0;", "", ptx.Race),
    "no fence before the store": ("fence.proxy.async.shared::cta;", "", ptx.MissingFence),
    "mbarrier not initialised": ("mbarrier.init.shared::cta.b64 [%r3], 1;", "", (ptx.BadOperand)),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(fault: str) -> None:
    old, new, expected = FAULTS[fault]
    assert old in BYTES
    for seed in SEEDS:
        with pytest.raises(expected):
            run_bytes(BYTES.replace(old, new), adversarial=seed, races=True)


def test_a_source_overwritten_too_early() -> None:
    text = BYTES.replace("cp.async.bulk.wait_group.read 0;", "")
    for seed in SEEDS:
        late = text[::-1].replace("ret;"[::-1], "cp.async.bulk.wait_group 0;\n  ret;"[::-1], 1)[::-1]
        assert run_bytes(late, adversarial=seed)[0] == 7
        with pytest.raises(ptx.InFlight, match="before this has read"):
            run_bytes(text, adversarial=seed)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("start", [(0, 0), (24, 5), (-8, -2)])
def test_tiles_out(start: tuple[int, int], seed: int | None) -> None:
    body = f"""
  mov.u32 %r1, %tid.x;
  mov.u32 %r2, tile;
  shl.b32 %r3, %r1, 2;
  xor.b32 %r5, %r3, 0;
  shr.u32 %r6, %r3, 3;
  and.b32 %r6, %r6, 16;
  xor.b32 %r5, %r5, %r6;
  add.u32 %r4, %r5, %r2;
  st.shared.u32 [%r4], %r1;
  fence.proxy.async.shared::cta;
  bar.sync 0;
  setp.ne.u32 %p1, %r1, 0;
  @%p1 ret;
  mov.b64 %d1, map;
  cvta.param.u64 %d2, %d1;
  cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%d2, {{{start[0]}, {start[1]}}}], [%r2];
  cp.async.bulk.commit_group;
  cp.async.bulk.wait_group 0;
  ret;"""
    text = kernel(body, params=MAP, declarations=".shared .align 1024 .b8 tile[256];")
    memory = ptx.Memory()
    pointer = memory.put(np.full((12, 28), 999, np.uint32))
    argument = ptx.tensor_map(pointer, np.uint32, (28, 12), (8, 8), swizzle=32)
    ptx.load(text).launch("k", 1, 64, [argument], memory=memory, adversarial=seed)
    expected = np.full((12, 28), 999, np.uint32)
    for index in np.ndindex(8, 8):
        row, column = index[0] + start[1], index[1] + start[0]
        if 0 <= row < 12 and 0 <= column < 28:
            expected[row, column] = 8 * index[0] + index[1]
    assert (memory.get(pointer) == expected).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_clusters(seed: int | None) -> None:
    # The first block of each pair loads for both; each then reads a word of the other one's shared memory.
    body = """
  mov.u32 %r1, %tid.x;
  mov.u32 %r2, buffer;
  mov.u32 %r3, bar;
  mov.u32 %r10, %cluster_ctarank;
  ld.param.u64 %d1, [in];
  ld.param.u64 %d2, [out];
  setp.eq.u32 %p1, %r1, 0;
  @%p1 mbarrier.init.shared::cta.b64 [%r3], 1;
  @%p1 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r3], 128;
  barrier.cluster.arrive.aligned;
  barrier.cluster.wait.aligned;
  setp.eq.and.u32 %p3, %r10, 0, %p1;
  mov.u16 %h1, 3;
  @%p3 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%r2], [%d1], 128, [%r3], %h1;
WAIT:
  mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r3], 0;
  @!%p2 bra WAIT;
  mad.lo.u32 %r4, %r1, 4, %r2;
  ld.shared.u32 %r5, [%r4];
  mad.lo.u32 %r5, %r10, 100, %r5;
  st.shared.u32 [%r4], %r5;
  barrier.cluster.arrive.aligned;
  barrier.cluster.wait.aligned;
  xor.b32 %r11, %r10, 1;
  mapa.shared::cluster.u32 %r12, %r4, %r11;
  ld.shared::cluster.u32 %r6, [%r12];
  mov.u32 %r7, %ctaid.x;
  mad.lo.u32 %r8, %r7, 32, %r1;
  mad.wide.u32 %d3, %r8, 4, %d2;
  st.global.u32 [%d3], %r6;
  barrier.cluster.arrive.aligned;
  barrier.cluster.wait.aligned;
  ret;"""
    declare = ".shared .align 8 .b64 bar; .shared .align 128 .b8 buffer[128];"
    text = kernel(body, params=".param .u64 in, .param .u64 out", declarations=declare)
    memory = ptx.Memory()
    source, out = memory.put(np.arange(32, dtype=np.uint32)), memory.empty((6, 32), np.uint32)
    ptx.load(text).launch("k", 6, 32, [source, out], memory=memory, cluster=2, adversarial=seed)
    assert (memory.get(out) == np.arange(32) + 100 * (1 - np.arange(6) % 2)[:, None]).all()
    with pytest.raises(ptx.PtxError, match="no whole number of clusters"):
        ptx.load(text).launch("k", 5, 32, [source, out], memory=memory, cluster=2)


def test_shared_memory_ends_with_its_block() -> None:
    """The first block of the cluster reads memory of the second, which is gone by then."""
    body = """
  mov.u32 %r1, buffer;
  mov.u32 %r2, %cluster_ctarank;
  setp.ne.u32 %p1, %r2, 0;
  @%p1 ret;
  mov.u32 %r4, 0;
LOOP:
  add.u32 %r4, %r4, 1;
  setp.lt.u32 %p2, %r4, 2000;
  @%p2 bra LOOP;
  mapa.shared::cluster.u32 %r3, %r1, 1;
  ld.shared::cluster.u32 %r5, [%r3];
  ret;"""
    text = kernel(body, params="", declarations=".shared .align 128 .b8 buffer[128];")
    with pytest.raises(ptx.OutOfBounds, match="has ended"):
        ptx.load(text).launch("k", 2, 32, [], memory=ptx.Memory(), cluster=2, strict=False)
