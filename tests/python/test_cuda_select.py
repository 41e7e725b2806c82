"""How the CUDA target's select spreads computations over threads: facts in, configs out, no compiler needed."""

from __future__ import annotations

import pytest
from tilewright.targets.cuda import select
from tilewright.targets.facts import Access, KernelFacts, OpFacts


def reduction(rows, length, order=("d0", "d1"), **kwargs) -> OpFacts:
    """A sum over the second of two loops; `order` is how the input is subscripted."""
    sizes = {"d0": rows, "d1": length}
    return OpFacts(
        0, "linalg.generic", ("parallel", "reduction"), (rows, length),
        (Access(tuple(order), tuple(sizes[d] for d in order), 32, False), Access(("d0",), (rows,), 32, True)),
        **kwargs,
    )  # fmt: skip


def product(m, n, k, bits=32, along=False, **kwargs) -> OpFacts:
    """A product of matrices, the right one maybe turned so that both lie along the sum."""
    lies, sizes = (("d1", "d2"), (n, k)) if along else (("d2", "d1"), (k, n))
    return OpFacts(
        0, "linalg.generic", ("parallel", "parallel", "reduction"), (m, n, k),
        (Access(("d0", "d2"), (m, k), bits, False, array=0), Access(lies, sizes, bits, False, array=1),
         Access(("d0", "d1"), (m, n), 32, True)),
        **kwargs,
    )  # fmt: skip


def running(rows, length, order=("d0", "d1"), attributes=frozenset({"tw.lowering"})) -> OpFacts:
    """Totals so far along the second of two loops, and the totals of all."""
    sizes = {"d0": rows, "d1": length}
    shape = tuple(sizes[d] for d in order)
    return OpFacts(
        0, "linalg.generic", ("parallel", "reduction"), (rows, length),
        (Access(tuple(order), shape, 32, False), Access(tuple(order), shape, 32, True), Access(("d0",), (rows,), 32, True)),
        attributes,
    )  # fmt: skip


def config(op: OpFacts, arch: str = "sm_80") -> select.Config:
    """What select says of one operation."""
    (found,) = select.select(KernelFacts("kernel_0", (op,), (0,)), select.Machine(arch))
    assert found.why and f'lowering = "{found.lowering}"' in found.text()
    assert f"tile = {list(found.tile)}" in found.text()
    return found


def lowering(op: OpFacts) -> str:
    """What one operation becomes."""
    return config(op).lowering


TF32 = {"attributes": frozenset({"tf32"})}


def test_tf32():
    """On tensor cores only where asked for, with the memory of 16 bits; for warpgroups where both lie along the sum."""
    found = config(product(2048, 2048, 512))
    assert found.lowering == "tiles" and 'precision="tf32" would' in found.why
    assert "tf32" not in config(product(2048, 2048, 512, bits=64)).why
    found = config(product(2048, 2048, 512, **TF32))
    assert (found.lowering, found.tile) == ("mma", (128, 128, 16, 3, 64, 64)) and "TF32" in found.why
    assert config(product(4096, 4096, 512, **TF32), "sm_90a").lowering == "mma"
    found = config(product(4096, 4096, 512, along=True, **TF32), "sm_90a")
    assert (found.lowering, found.tile[:4]) == ("wgmma", (128, 256, 32, 4)) and "TF32" in found.why
    assert config(product(4096, 4096, 512, along=True), "sm_90a").lowering == "tiles"
    assert lowering(product(1, 4096, 64, **TF32)) == "rows"


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (reduction(8, 64), "rows"),
        (reduction(None, None), "rows"),
        (reduction(8, 512), "rows"),
        (reduction(4096, 512), "rows"),
        (reduction(4096, 8192), "rows"),
        (reduction(8, 4), "points"),
        (reduction(8, 64, order=("d1", "d0")), "points"),
        (reduction(8, 64, attributes=frozenset({"tw.lowering"})), "points"),
        (running(8, 64), "runs"),
        (running(None, None), "runs"),
        (running(8, 31), "points"),
        (running(8, 64, order=("d1", "d0")), "points"),
        (running(8, 64, attributes=frozenset({"tw.lowering", "running_product"})), "points"),
        (product(64, 64, 64), "tiles"),
        (product(64, 64, 64, bits=16), "mma"),
        (product(None, 64, 64, bits=16), "mma"),
        (product(1, 4096, 64, bits=16), "rows"),
        (product(4096, 1, 64), "rows"),
    ],
)
def test_lowering(op, expected):
    assert lowering(op) == expected


@pytest.mark.parametrize("rows", [1, 7, 300, 5000, None])
@pytest.mark.parametrize("length", [8, 33, 1000, 4096, 50000, None])
def test_threads_of_a_row(rows, length):
    threads, kept = config(reduction(rows, length)).tile
    assert 32 <= threads <= 1024 and threads & (threads - 1) == 0
    assert kept == 0 or (length <= threads * kept and kept <= 32)


@pytest.mark.parametrize("rows", [1, 7, 5000, None])
@pytest.mark.parametrize("length", [32, 1001, 1 << 20, None])
def test_threads_of_running_totals(rows, length):
    (threads,) = config(running(rows, length)).tile
    assert 32 <= threads <= 1024 and threads & (threads - 1) == 0
    assert length is None or threads == 32 or threads < length, "none has nothing to do"
    if rows == 5000:
        assert threads <= 128, "rows alone keep the GPU busy"


def norm(rows, length, arrays=1) -> KernelFacts:
    """A sum along rows of some arrays, and what is computed of each element with it."""
    read = [Access(("d0", "d1"), (rows, length), 32, False, array=i) for i in range(arrays)]
    sums = Access(("d0",), (rows,), 32, True)
    first = OpFacts(0, "linalg.generic", ("parallel", "reduction"), (rows, length), (*read, sums))
    second = OpFacts(
        1, "linalg.generic", ("parallel", "parallel"), (rows, length),
        (*read, Access(("d0",), (rows,), 32, False, producer=0, array=9),
         Access(("d0", "d1"), (rows, length), 32, True)),
    )  # fmt: skip
    return KernelFacts("kernel_0", (first, second), (0,))


@pytest.mark.parametrize("arrays", [1, 2, 3])
@pytest.mark.parametrize("length", [64, 1000, 4096, 32768, 100000])
def test_rows_stay_in_registers_where_they_fit(arrays, length):
    first, second = select.select(norm(4096, length, arrays), select.Machine())
    assert first == second and first.lowering == "rows"
    threads, kept = first.tile
    if kept:
        assert "stays in registers" in first.why
        assert threads * kept >= length and kept * arrays <= 32
    else:
        assert "walked along 2 times" in first.why and length > 1024 * 32 // arrays // 2


def test_a_dependence_across_rows_is_no_run():
    """The second operation reads the sums along its columns."""
    kernel = norm(64, 64)
    second = kernel.ops[1]
    crossed = tuple(
        Access(("d1",), (64,), 32, False, producer=0, array=9) if a.producer == 0 else a
        for a in second.accesses
    )
    turned = OpFacts(1, second.kind, second.loops, second.ranges, crossed)
    configs = select.select(KernelFacts("kernel_0", (kernel.ops[0], turned), (0,)), select.Machine())
    assert [c.lowering for c in configs] == ["rows", "points"]


def weights(rows, many, depth, bits=16) -> OpFacts:
    """A product of rows with rows of weights."""
    return OpFacts(
        0, "linalg.generic", ("parallel", "parallel", "reduction"), (rows, many, depth),
        (Access(("d0", "d2"), (rows, depth), 32, False, array=0),
         Access(("d1", "d2"), (many, depth), bits, False, array=1),
         Access(("d0", "d1"), (rows, many), 32, True)),
    )  # fmt: skip


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("depth", [512, 520, 1000, 4096, 8192, 14336, 100000])
@pytest.mark.parametrize("many", [1, 100, 8192, None])
@pytest.mark.parametrize("rows", [1, 2, 5, 8])
def test_numbers_of_dots(rows, many, depth, bits):
    """Everything is computed, by whole warps, within registers and memory; all multiprocessors have work if there is any."""
    found = config(weights(rows, many, depth, bits), "sm_90a")
    few = min(rows, many or rows)
    if found.lowering != "dots":
        assert depth // (128 // bits) < 32
        return
    threads, sets, columns, groups, lanes, turns = found.tile
    assert threads % 32 == 0 and 32 <= threads * sets <= 256
    assert depth % lanes == 0 and lanes * bits <= 128 and lanes * turns <= 32 and lanes * turns * few <= 64
    panels = -(-depth // (lanes * turns * threads))
    assert panels == 1 or lanes * turns * few * 2 > 32
    assert depth > lanes * turns * (threads - 32) * panels, "no more than a warp is idle in each turn"
    assert (
        sets * columns * groups * few * (threads // 32) + turns * threads * lanes * 9 // 8
    ) * 4 <= 48 << 10
    blocks = -(-max(many or 0, rows) // (sets * columns * groups)) if many else 1
    assert groups == 1 or many is None or blocks >= 132


def test_what_is_no_dots():
    """Weights along the results, more rows, rows of unknown number or depth."""
    assert lowering(weights(9, 4096, 4096)) == "mma"
    assert lowering(weights(None, 4096, 4096)) == "mma"
    assert lowering(weights(1, 4096, None)) != "dots"
    assert lowering(weights(1, 4096, 128)) != "dots"
    assert lowering(product(1, 4096, 4096, bits=16)) == "rows"


def attention(columns, between=2, rows=64, keys=256, bits=16) -> KernelFacts:
    """A product, some sums of rows with what is computed of each element, a product."""

    def access(dims, sizes, bits=32, out=False, producer=None, array=-1):
        return Access(dims, sizes, bits, out, producer, array)

    each = ("d0", "d1")
    shape = (rows, keys)
    scores = OpFacts(
        0, "linalg.generic", ("parallel", "parallel", "reduction"), (rows, keys, columns),
        (access(("d0", "d2"), (rows, columns), bits, array=0), access(("d1", "d2"), (keys, columns), bits, array=1),
         access(each, shape, out=True)),
    )  # fmt: skip
    ops = [scores]
    for _ in range(between):
        last = ops[-1].index
        sums = OpFacts(
            last + 1, "linalg.generic", ("parallel", "reduction"), shape,
            (access(each, shape, producer=last), access(("d0",), (rows,), out=True)),
        )  # fmt: skip
        elements = OpFacts(
            last + 2, "linalg.generic", ("parallel", "parallel"), shape,
            (access(each, shape, producer=last), access(("d0",), (rows,), producer=last + 1),
             access(each, shape, bits, out=True)),
        )  # fmt: skip
        ops += [sums, elements]
    last = OpFacts(
        ops[-1].index + 1, "linalg.generic", ("parallel", "parallel", "reduction"), (rows, columns, keys),
        (access(("d0", "d2"), shape, bits, producer=ops[-1].index), access(("d2", "d1"), (keys, columns), bits, array=2),
         access(each, (rows, columns), out=True)),
    )  # fmt: skip
    return KernelFacts("kernel_0", (*ops, last), (0,))


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        (attention(64), {"attention"}),
        (attention(40), {"mma", "rows"}),
        (attention(256), {"mma", "rows"}),
        (attention(64, between=1), {"mma", "rows"}),
        (attention(64, bits=32), {"plain_attention"}),
        (attention(12, bits=32), {"plain_attention"}),
        (attention(10, bits=32), {"tiles", "rows"}),
        (attention(160, bits=32), {"tiles", "rows"}),
        (attention(64, rows=16), {"plain_attention"}),
        (attention(64, rows=17), {"attention"}),
        (attention(64, rows=1), {"plain_attention"}),
        (attention(64, rows=None, bits=32), {"plain_attention"}),
        (attention(64, rows=None), {"attention"}),
    ],
)
def test_attention_is_two_products_and_two_reductions(kernel, expected):
    assert {c.lowering for c in select.select(kernel, select.Machine())} == expected


@pytest.mark.parametrize("columns", [16, 64, 80, 128])
@pytest.mark.parametrize("rows", [17, 64, 65, 8192, 100000, None])
@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_90a"])
def test_warpgroups_share_attention(rows, columns, arch):
    """Only where half of the multiprocessors have a block that is half full; what they keep fits shared memory."""
    found = select.select(attention(columns, rows=rows), select.Machine(arch))[0]
    pays = arch == "sm_90a" and rows is not None and 2 * -(-rows // 128) >= 132
    assert found.lowering == ("warpgroup_attention" if pays else "attention")
    if pays:
        keys, stages = found.tile
        line = -(-columns // 64) * 128
        assert stages >= 2 and 128 * line + stages * keys * 2 * line + 20 * 1024 + 512 <= 227 * 1024
        assert f"{-(-rows // 128)} blocks" in found.why


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("columns", [8, 64, 128])
@pytest.mark.parametrize("rows", [1, 2, 7, 16, 20, 64, 1000, None])
@pytest.mark.parametrize("keys", [1, 40, 5000, 100000, None])
def test_warps_and_blocks_share_attention(rows, columns, keys, bits):
    """All rows have a warp, memory suffices anywhere, and no block that shares keys has few."""
    found = select.select(attention(columns, rows=rows, keys=keys, bits=bits), select.Machine())[0]
    if found.lowering != "plain_attention":
        assert bits == 16 and (rows is None or rows > 16)
        return
    own, row_warps, key_warps, parts, least = found.tile
    assert own in (1, 2, 4, 8, 16) and row_warps * key_warps in (1, 2, 4)
    assert rows is None or own * row_warps >= min(rows, 64)
    assert row_warps * own * columns * 4 + key_warps * 32 * 2 * columns * bits // 8 <= 90 * 1024
    assert parts == 1 or (rows is not None and (keys is None or keys // parts >= least))
    assert (parts > 1) == ("share the keys" in found.why) and parts <= 64


@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_90a", "sm_120"])
def test_tiles_on_tensor_cores(arch):
    for m, n in ((64, 64), (512, 512), (4096, 4096), (100, 8192), (8192, 64), (None, 4096)):
        found = config(product(m, n, 512, 16), arch)
        if found.lowering == "wgmma":
            rows, columns, depth, stages, persistent, cluster = found.tile
            assert arch == "sm_90a" and persistent in (0, 1) and cluster in (1, 2)
        else:
            rows, columns, depth, stages, warp_rows, warp_columns = found.tile
            assert rows % warp_rows == 0 and columns % warp_columns == 0
        assert depth % 16 == 0 and stages >= 2
    assert config(product(64, 64, 64, 16), arch).tile[:2] == (64, 64)
    large = config(product(8192, 8192, 64, 16), arch)
    assert large.tile[:2] == ((128, 256) if arch == "sm_90a" else (128, 128))
    assert (large.lowering == "wgmma") == (arch == "sm_90a")


@pytest.mark.parametrize(
    ("m", "n", "expected"),
    [
        (8192, 8192, (128, 256, 1, 2)),  # many tiles: persistent, in pairs
        (2048, 2048, (128, 256, 0, 2)),  # 128 tiles: one each
        (1024, 1536, (128, 128, 0, 2)),  # 48 wide tiles would leave most multiprocessors idle
        (128, 65536, (128, 256, 1, 1)),  # one row of tiles: nobody to share with
        (None, 65536, (128, 256, 1, 2)),
        (512, 512, None),  # 16 tiles: smaller ones, of another kind
    ],
)
def test_blocks_that_go_from_tile_to_tile(m, n, expected):
    found = config(product(m, n, 512, 16), "sm_90a")
    if expected is None:
        assert found.lowering == "mma"
        return
    rows, columns, _, _, persistent, cluster = found.tile
    assert (rows, columns, persistent, cluster) == expected
    assert ("go from tile to tile" in found.why) == bool(persistent)
    assert ("share the right factor" in found.why) == (cluster == 2)


def test_tiles_fit_the_memory_of_a_block():
    assert all(tile.shared_bytes <= 48 * 1024 for tile in select.TENSOR_TILES)
    assert all(tile.shared_bytes <= 227 * 1024 for tile in select.WARPGROUP_TILES)


def test_factors_that_are_no_plain_arrays_are_not_copied_in_tiles():
    dense = product(8192, 8192, 512, 16)
    packed = Access(("d2 floordiv 32", "d1", "d2 mod 32"), (16, 8192, 32), 16, False, array=1)
    computed = OpFacts(
        0, dense.kind, dense.loops, dense.ranges, (dense.accesses[0], packed, dense.accesses[2])
    )
    assert config(computed, "sm_90a").lowering == "mma"


def test_machine_knows_its_capability():
    assert select.Machine("sm_90a").capability == 90
    assert select.Machine("sm_120").capability == 120


def test_what_is_left_out_is_in_the_shared_table():
    """A pass that is renamed there must not come back here unseen."""
    from tilewright import stages
    from tilewright.targets.cuda.stages import LEFT_OUT, STAGES

    shared = {one.pipeline for stage in stages.STAGES for one in stage.passes}
    assert set(LEFT_OUT) <= shared
    assert not {one.pipeline for stage in STAGES for one in stage.passes} & set(LEFT_OUT)
    assert [stage.name for stage in STAGES] == list(stages.NAMES)
