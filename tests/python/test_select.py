"""`select` as a pure function: properties that every choice keeps, and the choices for well-known kernels."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tilewright.targets.cpu.select import Config, Machine, pick_lane, select
from tilewright.targets.facts import Access, KernelFacts, OpFacts

AVX512 = Machine()
AVX2 = Machine(vector_bits=256, registers=16)
SIZES = st.one_of(st.none(), st.integers(1, 4096))


def access(results, shape, output=False, bits=32):
    return Access(tuple(results), tuple(shape), bits, output)


def matmul(m, n, k, panel=None):
    b = (
        (["d1 floordiv 32", "d2", "d1 mod 32"], [None if n is None else -(-n // 32), k, 32])
        if panel
        else (["d2", "d1"], [k, n])
    )
    main = OpFacts(
        0,
        "linalg.generic",
        ("parallel", "parallel", "reduction"),
        (m, n, k),
        (access(["d0", "d2"], [m, k]), access(*b), access(["d0", "d1"], [m, n], True)),
        operations=2,
    )
    return KernelFacts("kernel_0", (main,), (0, 1))


def elementwise(*shape):
    dims = [f"d{i}" for i in range(len(shape))]
    op = OpFacts(
        0,
        "linalg.generic",
        ("parallel",) * len(shape),
        shape,
        (access(dims, shape), access(dims, shape, True)),
        operations=3,
    )
    return KernelFacts("kernel_0", (op,), tuple(range(len(shape))))


def row_norm(rows, columns):
    total = OpFacts(
        0,
        "linalg.generic",
        ("parallel", "reduction"),
        (rows, columns),
        (access(["d0", "d1"], [rows, columns]), access(["d0"], [rows], True)),
        operations=2,
    )
    scale = OpFacts(
        1,
        "linalg.generic",
        ("parallel", "parallel"),
        (rows, columns),
        (
            access(["d0", "d1"], [rows, columns]),
            access(["d0"], [rows]),
            access(["d0", "d1"], [rows, columns], True),
        ),
        operations=1,
        producers=(0,),
    )
    return KernelFacts("kernel_0", (total, scale), (0,))


def attention(batch, heads, queries, keys, size):
    """Scores, their softmax left out, and the sum of values; the root writes heads beside each other."""
    b, h, q, k, d = batch, heads, queries, keys, size
    four = ["d0", "d1", "d2", "d3"]
    loops = ("parallel",) * 4
    scores = OpFacts(
        0,
        "linalg.generic",
        (*loops, "reduction"),
        (b, h, q, k, d),
        (
            access(["d0", "d1", "d2", "d4"], [b, h, q, d]),
            access(["d0", "d1", "d4", "d3"], [b, h, d, k]),
            access(four, [b, h, q, k], True),
        ),
        operations=2,
    )
    values = OpFacts(
        1,
        "linalg.generic",
        (*loops, "reduction"),
        (b, h, q, d, k),
        (
            replace(access(["d0", "d1", "d2", "d4"], [b, h, q, k]), producer=0),
            access(["d0", "d1", "d4", "d3"], [b, h, k, d]),
            access(four, [b, h, q, d], True),
        ),
        operations=2,
        producers=(0,),
    )
    root = OpFacts(
        2,
        "linalg.generic",
        loops,
        (b, q, h, d),
        (
            replace(access(["d0", "d2", "d1", "d3"], [b, h, q, d]), producer=1),
            access(four, [b, q, h, d], True),
        ),
        producers=(1,),
    )
    return KernelFacts("kernel_0", (scores, values, root), (0, 1, 2))


def check(kernel: KernelFacts, configs: list[Config]) -> None:
    assert len(configs) == len(kernel.ops)
    for op, config in zip(kernel.ops, configs, strict=True):
        if op is not kernel.root:
            assert not any(config.workgroup), "only the root is spread over threads"
        for sizes in (config.workgroup, config.tile):
            assert len(sizes) in (0, len(op.loops))
            assert all(size >= 0 for size in sizes)
        for loop, size in enumerate(config.workgroup):
            if size:
                assert loop in kernel.parallel, "a reduction is never spread over threads"
                if config.tile and config.tile[loop]:
                    assert size % config.tile[loop] == 0 or size <= config.tile[loop], (
                        "register tiles divide tasks"
                    )
        if config.lowering == "vector":
            assert 0 <= config.lane < len(op.loops) and config.vector > 0 and config.unroll > 0


@given(SIZES, SIZES, SIZES, st.booleans(), st.sampled_from([AVX512, AVX2]))
def test_contraction_keeps_the_rules(m, n, k, panel, machine):
    kernel = matmul(m, n, k, panel)
    configs = select(kernel, machine)
    check(kernel, configs)
    tile = configs[-1].tile
    if tile and tile[1]:
        vectors = tile[1] // (machine.vector_bits // 32)
        assert tile[0] * vectors + vectors + 1 <= machine.registers or tile[0] == 1, (
            "accumulators fit the registers"
        )


@given(st.lists(SIZES, min_size=1, max_size=4), st.sampled_from([AVX512, AVX2]))
def test_elementwise_keeps_the_rules(shape, machine):
    kernel = elementwise(*shape)
    check(kernel, select(kernel, machine))


@given(SIZES, SIZES, st.sampled_from([AVX512, AVX2]))
def test_rows_keep_the_rules(rows, columns, machine):
    kernel = row_norm(rows, columns)
    check(kernel, select(kernel, machine))


def test_small_kernels_stay_on_the_calling_thread():
    assert not any(select(elementwise(8), AVX512)[0].workgroup)
    assert any(select(elementwise(1 << 20), AVX512)[0].workgroup)


def test_row_reduction_runs_its_lanes_along_the_row():
    configs = select(row_norm(512, 768), AVX512)
    assert [c.lane for c in configs] == [1, 1]
    assert [c.lowering for c in configs] == ["vector", "vector"]


def transposition(rows: int, columns: int) -> OpFacts:
    accesses = (access(["d1", "d0"], [columns, rows]), access(["d0", "d1"], [rows, columns], True))
    return OpFacts(0, "linalg.generic", ("parallel", "parallel"), (rows, columns), accesses, operations=1)


def test_lane_avoids_strided_operands():
    lane, why = pick_lane(transposition(8, 64), AVX512)
    assert lane == -1 and "strides" in why


def test_transposition_takes_squares():
    op = transposition(1024, 1024)
    lane, why = pick_lane(op, AVX512)
    assert lane == 1 and "squares" in why
    config = select(KernelFacts("k", (op,), (0, 1)), AVX512)[0]
    assert config.lowering == "vector" and all(size % 16 == 0 for size in config.workgroup)


def test_reduction_across_rows_takes_long_stretches():
    accesses = (access(["d0", "d1"], [4096, 768]), access(["d1"], [768], True))
    op = OpFacts(0, "linalg.generic", ("reduction", "parallel"), (4096, 768), accesses, operations=1)
    config = select(KernelFacts("k", (op,), (1,)), AVX512)[0]
    assert config.lane == 1 and config.workgroup[1] >= 256 and not any(config.tile)


def test_groups_of_products_are_named():
    plain = matmul(128, 256, 64, panel=32)
    grouped = KernelFacts("k", (replace(plain.root, attributes=frozenset({"tw.group_dot"})),), (0, 1))
    assert "groups of products" in select(grouped, AVX512)[0].why
    assert "groups of products" not in select(plain, AVX512)[0].why


def test_boolean_storage_is_not_vectorised():
    op = OpFacts(
        0, "linalg.generic", ("parallel",), (64,), (access(["d0"], [64], bits=1), access(["d0"], [64], True))
    )
    config = select(KernelFacts("k", (op,), (0,)), AVX512)[0]
    assert config.lowering == "loops" and "bytes" in config.why


def test_sequential_operations_stay_loops():
    op = OpFacts(
        0,
        "linalg.generic",
        ("parallel", "reduction"),
        (4, 64),
        (access(["d0", "d1"], [4, 64]), access(["d0", "d1"], [4, 64], True)),
        frozenset({"tw.lowering"}),
    )
    assert select(KernelFacts("k", (op,), ()), AVX512)[0].lowering == "loops"


@pytest.mark.parametrize("machine", [AVX512, AVX2])
def test_config_text_is_the_attribute(machine):
    text = select(matmul(128, 256, 64, panel=True), machine)[0].text()
    assert text.startswith("#tw.config<workgroup = [") and text.endswith('lowering = "vector">')
    assert select(matmul(128, 256, 64, panel=True), machine)[0].attributes() == {"tw.config": text}
    assert select(matmul(128, 256, 64), machine)[0].attributes()["tw.pack"] == "array<i64: 1>"


@pytest.mark.parametrize(
    ("rows", "columns", "together"),
    [
        (512, 576, 2),  # arrays near the processor: two rows of this length
        (512, 64, 4),
        (511, 64, 1),  # a row would be left over
        (4096, 768, 1),  # far away: the next row comes while this one is computed
        (4096, 256, 1),
        (16384, 64, 4),
        (512, 4096, 1),
        (None, 576, 1),
    ],
)
def test_rows_that_wait_for_their_sums_go_together(rows, columns, together):
    config = select(row_norm(rows, columns), AVX512)[-1]
    assert config.tile[0] == together
    assert config.workgroup[0] % together == 0


@pytest.mark.parametrize(
    ("rows", "columns", "functions", "overlap"),
    [
        (4096, 768, 1, True),
        (4096, 768, 0, False),  # memory is what such rows wait for
        (4096, 1024, 1, False),  # larger than the last cache: so do these
        (512, 576, 1, False),  # two rows go together
        (511, 576, 1, True),
        (None, 576, 1, True),
        (511, 1638, 1, True),
        (511, 1639, 1, False),  # rows of several walks do not fit the first-level cache
    ],
)
def test_walks_along_rows_with_functions_overlap(rows, columns, functions, overlap):
    plain = row_norm(rows, columns)
    kernel = replace(plain, ops=(plain.ops[0], replace(plain.root, functions=functions)))
    configs = select(kernel, replace(AVX512, l3_bytes=48 << 20))
    assert configs[-1].overlap == overlap == ("row before" in configs[-1].why)
    assert configs[-1].attributes().get("tw.overlap") == ("unit" if overlap else None)
    # Loops along the row have steps of one length; sums are added up in the same order either way.
    assert configs[0].unroll == 4 and configs[1].unroll == (4 if overlap else 2)


def test_an_array_that_two_operations_read_is_held_once():
    kernel = row_norm(64, 100)
    assert kernel.bytes() == kernel.footprint() == 3 * 25600 + 256
    shared = tuple(
        replace(op, accesses=tuple(replace(a, array=0 if i == 0 else -1) for i, a in enumerate(op.accesses)))
        for op in kernel.ops
    )
    assert replace(kernel, ops=shared).footprint() == 2 * 25600 + 256


def test_results_that_the_last_cache_cannot_hold_go_past_it():
    machine = Machine(l3_bytes=32 << 20)
    assert not select(elementwise(1 << 20), machine)[-1].stream
    (config,) = select(elementwise(1 << 24), machine)
    assert config.stream and "128 MB do not fit 32" in config.why
    assert config.attributes()["tw.stream"] == "unit"
    assert select(row_norm(1 << 15, 768), machine)[-1].stream
    assert not select(elementwise(None), machine)[-1].stream
    assert not select(elementwise(1 << 24), Machine())[-1].stream


@pytest.mark.parametrize("axis", [0, 1])
def test_running_totals_have_lanes_along_what_lies_side_by_side(axis):
    kinds = ["parallel", "parallel"]
    kinds[axis] = "reduction"
    whole, total = access(["d0", "d1"], (4096, 768)), access([f"d{1 - axis}"], ((768, 4096)[axis],), True)
    results = access(["d0", "d1"], (4096, 768), True)
    op = OpFacts(
        0,
        "linalg.generic",
        tuple(kinds),
        (4096, 768),
        (whole, results, total),
        frozenset({"tw.lowering"}),
        operations=1,
    )
    (config,) = select(KernelFacts("kernel_0", (op,), (1 - axis,)), AVX512)
    assert (config.lowering, config.lane) == ("vector", 1)


@pytest.mark.parametrize(
    ("m", "n", "packed"), [(128, 256, (1,)), (24, 256, ()), (1, 256, ()), (128, 64, ()), (None, 256, (1,))]
)
def test_an_operand_is_packed_where_many_tiles_read_rows_that_lie_apart(m, n, packed):
    assert select(matmul(m, n, 64), AVX512)[0].pack == packed
    assert select(matmul(m, n, 64, panel=True), AVX512)[0].pack == (), "panels are packed"


@pytest.mark.parametrize(
    ("m", "n", "k"), [(203, 1878, 1446), (1000, 64, 333), (3000, 3000, 3000), (97, 40, 5)]
)
def test_tasks_of_a_contraction_have_equal_shares_of_rows(m, n, k):
    config = select(matmul(m, n, k), AVX512)[0]
    rows, tile = config.workgroup[0] or m, config.tile[0]
    groups = -(-m // rows)
    assert rows == m or rows % tile == 0
    # No share could be a tile smaller.
    assert groups * rows - m < groups * tile


@pytest.mark.parametrize("queries", [None, 512])
def test_a_task_of_attention_takes_queries_that_share_keys(queries):
    kernel = attention(2, 12, queries, queries, 64)
    assert kernel.root_loops() == [{0: 0, 1: 2, 2: 1}, {0: 0, 1: 2, 2: 1, 3: 3}, {0: 0, 1: 1, 2: 2, 3: 3}]
    configs = select(kernel, AVX512)
    check(kernel, configs)
    assert configs[-1].workgroup == (1, 8, 1, 0)


def test_one_query_leaves_the_heads_together():
    assert select(attention(1, 12, 1, 512, 64), AVX512)[-1].workgroup == (1, 1, 8, 0)


@pytest.mark.parametrize(
    ("columns", "depth", "task"),
    [
        (576, 576, 32),  # nine tasks of 64 columns would be four and five
        (1536, 576, 64),  # 24 share well
        (288, 960, 64),  # four panels and five, whatever a task is
        (64, 256, 128),  # one task: two would be too small
    ],
)
def test_few_tasks_are_shared_equally(columns, depth, task):
    config = select(matmul(1, columns, depth, panel=32), AVX512)[0]
    assert config.workgroup[1] == task


def test_tasks_count_every_product_of_an_instruction():
    """Four products that one instruction sums up are as much of the weights as four that take an instruction each."""
    plain = matmul(1, 192, 576, panel=32)
    grouped = matmul(1, 192, 144, panel=32)
    grouped = replace(grouped, ops=(replace(grouped.ops[0], products=4),))
    columns = select(plain, AVX512)[0].workgroup[1]
    assert select(grouped, AVX512)[0].workgroup[1] == columns
    assert 192 % (2 * columns) == 0  # two threads get equal shares
