"""Target cuda: attention in float32, or of few queries, by multiply-adds; run in the PTX interpreter in every warp order."""

from __future__ import annotations

import functools
import re

import numpy as np
import ptx
import pytest
import tilewright as tw
from assembler import assemble, machine_code, needs_ptxas
from cuda_device import DeviceProgram
from op_matrix import fresh_rng
from test_cuda_attention import attention, specs_of
from tilewright.targets.cuda import attention as chosen
from tilewright.targets.cuda import select

ARCH = "cuda:sm_80"


def lowered(specs, causal=False):
    """`tw.attention` with as many arguments as there are specs."""
    return tw.jit(lambda *arrays: tw.attention(*arrays, causal=causal)).trace(*specs).lower(ARCH)


def inputs_of(specs):
    """Numbers for them."""
    rng = fresh_rng()
    return [rng.standard_normal(s.shape).astype(s.dtype.numpy) for s in specs]


def check(found, inputs, causal=False):
    """Compare with float64: sums and weights are in float32, only results are rounded to the arrays' type."""
    wide = [x.astype(np.float64) for x in inputs]
    expected = attention(*wide, causal=causal)
    size = attention(wide[0], wide[1], np.abs(wide[2]), *wide[3:], causal=causal)
    rounding = {2: 2.0**-11, 4: 2.0**-24}[found.dtype.itemsize] if found.dtype != "bfloat16" else 2.0**-8
    assert np.all(
        np.abs(found.astype(np.float64) - expected) <= rounding * np.abs(expected) + 2.0**-18 * size
    )


def split(monkeypatch, keys=32, processors=64):
    """Share the keys of a row between blocks from a few keys on."""
    monkeypatch.setattr(chosen, "LEAST_KEYS", keys)
    monkeypatch.setattr(select.Machine, "processors", property(lambda self: processors))


#: Shapes of q and k, columns of v, dtype, causal, mask: many rows and few, heads that share keys, broken tiles.
CASES = {
    "many rows": ((1, 1, 70, 16), (1, 1, 90, 16), 16, "float32", True, False),
    "a group of heads": ((1, 4, 19, 32), (1, 2, 45, 32), 32, "float32", True, False),
    "more queries than keys": ((1, 1, 67, 12), (1, 1, 33, 12), 20, "float32", False, True),
    "wide rows": ((1, 1, 33, 128), (1, 1, 33, 128), 128, "float32", True, False),
    "twenty rows": ((1, 1, 20, 24), (1, 1, 100, 24), 48, "float32", True, False),
    "one row": ((2, 1, 1, 64), (2, 1, 150, 64), 64, "float32", True, False),
    "two rows": ((1, 4, 1, 16), (1, 2, 140, 16), 8, "float32", False, True),
    "seven rows": ((1, 7, 1, 32), (1, 1, 130, 32), 32, "float32", False, False),
    "eight rows of two tokens": ((1, 4, 2, 64), (1, 1, 70, 64), 64, "float32", True, False),
    "sixteen rows": ((1, 16, 1, 32), (1, 1, 129, 32), 48, "bfloat16", False, False),
    "four rows in half precision": ((1, 4, 1, 128), (1, 1, 131, 128), 64, "float16", True, True),
}


@pytest.mark.parametrize("name", CASES)
def test_one_launch(name):
    q, k, columns, dtype, causal, mask = CASES[name]
    specs = specs_of(q, k, columns, dtype, mask)
    program = DeviceProgram(lowered(specs, causal), adversarial=int(fresh_rng().integers(1 << 30)))
    inputs = inputs_of(specs)
    (found,) = program(*inputs)
    assert len(program.launches) == 1 and "mma.sync" not in program.text
    check(found, inputs, causal)
    assert np.array_equal(found, program(*inputs)[0]), "the same bits in any order of warps"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_blocks_share_keys(dtype, monkeypatch):
    """Whatever order blocks and warps run in, parts are put together in theirs."""
    split(monkeypatch)
    specs = specs_of((1, 6, 1, 16), (1, 2, 290, 16), 32, dtype, False)
    inputs = inputs_of(specs)
    first, second = (DeviceProgram(lowered(specs), adversarial=seed) for seed in (1, 2))
    (found,) = first(*inputs)
    assert [blocks for _, blocks, _ in first.launches] == [2 * 3, 1]
    check(found, inputs)
    assert np.array_equal(found, second(*inputs)[0])


def test_lengths_known_at_run_time(monkeypatch):
    """From no keys at all to several blocks; tokens of a row see different keys, some blocks none."""
    split(monkeypatch)
    rows, keys = 3, tw.Dim("t")
    specs = [tw.spec((1, 2, rows, 16), "float32")] + [tw.spec((1, 1, keys, 16), "float32")] * 2
    program = DeviceProgram(lowered(specs, causal=True), adversarial=5)
    rng = fresh_rng()
    blocks = set()
    for length in (0, 3, 129, 300):
        inputs = [
            rng.standard_normal((1, h, n, 16)).astype("f4") for h, n in ((2, rows), (1, length), (1, length))
        ]
        program.launches.clear()
        (found,) = program(*inputs)
        if length:
            check(found, inputs, causal=True)
        else:
            assert not found.any()
        blocks.add(next(count for name, count, _ in program.launches if name.endswith("_parts")))
    assert len(blocks) == 4


def test_rows_known_at_run_time():
    specs = [tw.spec((1, 1, n, 16), "float32") for n in ("s", "t", "t")]
    program = DeviceProgram(lowered(specs, causal=True), adversarial=3)
    for s, t in ((1, 66), (66, 66)):
        inputs = inputs_of([tw.spec((1, 1, n, 16), "float32") for n in (s, t, t)])
        check(program(*inputs)[0], inputs, causal=True)
    assert len({name for name, _, _ in program.launches if name.startswith("kernel")}) == 1


def test_windows_of_a_cache_are_read_where_they_lie():
    """Keys and values are the first lines of longer arrays, as a language model keeps them."""
    seen = tw.Dim("t", max=96)
    cache = tw.spec((2, 96, 32), "float32")

    def step(q, keys, values, positions):
        now = positions.shape[0]
        return tw.attention(q, keys[None, :, :now], values[None, :, :now])

    traced = tw.jit(step).trace(tw.spec((1, 4, 1, 32), "float32"), cache, cache, tw.spec((seen,), "int32"))
    program = DeviceProgram(traced.lower(ARCH), adversarial=7)
    q, keys, values = inputs_of([tw.spec((1, 4, 1, 32), "float32"), cache, cache])
    keys[:, 61:] = values[:, 61:] = np.nan
    (found,) = program(q, keys, values, np.arange(61, dtype=np.int32))
    check(found, [q, keys[None, :, :61], values[None, :, :61]])
    assert sum("parts" in name for name, _, _ in program.launches) == 1


def test_rows_that_see_nothing_are_no_numbers(monkeypatch):
    """As in the formula, also where other blocks have keys that other rows see; late keys are fine."""
    split(monkeypatch)
    specs = specs_of((1, 1, 6, 16), (1, 1, 200, 16), 16, "float32", True)
    program = DeviceProgram(lowered(specs))
    inputs = inputs_of(specs)
    inputs[3][0, 0, 2] = inputs[3][0, 0, 4, :190] = -np.inf
    (found,) = program(*inputs)
    assert np.isnan(found[0, 0, 2]).all() and len(program.launches) == 2
    rows = [0, 1, 3, 4, 5]
    check(found[:, :, rows], [inputs[0][:, :, rows], *inputs[1:3], inputs[3][:, :, rows]])


def test_what_is_computed_of_results_is_part_of_the_last_launch(monkeypatch):
    split(monkeypatch)
    specs = [*specs_of((1, 4, 1, 16), (1, 4, 100, 16), 16, "float32", False), tw.spec((16,), "float32")]
    program = DeviceProgram(
        tw.jit(lambda q, k, v, b: tw.attention(q, k, v) * 2 + b).trace(*specs).lower(ARCH)
    )
    inputs = inputs_of(specs)
    (found,) = program(*inputs)
    assert len(program.launches) == 2
    check((found - inputs[3]) / 2, [*inputs[:3]])


#: What a broken emitter might have written. Each shows in the result, or as an error of the interpreter.
FAULTS = {
    "no wait for the values": (r"cp\.async\.wait_group\s+1;", ""),
    "no wait for the next keys": (r"(cp\.async\.wait_group\s+1;(?s:.*?))cp\.async\.wait_group\s+0;", r"\1"),
    "weights read before they are written": (r"(cp\.async\.wait_group\s+1;\s*)bar\.(?:warp\.)?sync\s+[-\w]+;", r"\1"),
    "keys overwritten while they are read": (r"(?s)(fma\.rn\.f32.*?)bar\.(?:warp\.)?sync\s+[-\w]+;", r"\1"),
    "a maximum of half of the lanes": (r"shfl\.sync\.bfly\.b32([^;]*), 4, 31, -1;", r"shfl.sync.bfly.b32\1, 0, 31, -1;"),
    "a maximum that is a minimum": (r"max\.NaN\.f32", "min.NaN.f32"),
    "a weight that is no power": (r"ex2\.approx(?:\.ftz)?\.f32", "mov.b32"),
    "copies of half of a line": (r"cp\.async\.cg\.shared\.global (\[[^]]*\], \[[^]]*\]), 16, ", r"cp.async.cg.shared.global \1, 16, 8; //"),
}  # fmt: skip


def changed(program, text, inputs, seed):
    """Run other device code."""
    program.text, program.module, program.adversarial = text, ptx.load(text), seed
    return program(*inputs)[0]


#: What the interpreter does not look for: a lane that overwrites what others of its warp still read.
UNSEEN = {("keys overwritten while they are read", False)}


@functools.cache
def healthy(many):
    """A program without faults that shares work by rows, or by keys; its text, inputs and result."""
    specs = specs_of((1, 1, 33 if many else 2, 16), (1, 1, 70 if many else 140, 16), 16, "float32", False)
    program, inputs = DeviceProgram(lowered(specs), adversarial=1), inputs_of(specs)
    (good,) = program(*inputs)
    check(good, inputs)
    return program, program.text, inputs, good


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_caught(name, many):
    if (name, many) in UNSEEN:
        return
    program, text, inputs, good = healthy(many)
    faulty, count = re.subn(*FAULTS[name], text, count=1)
    assert count == 1, "the fault has no place in the code"

    def shows(seed):
        try:
            return not np.array_equal(changed(program, faulty, inputs, seed), good)
        except ptx.PtxFault:
            return True

    assert any(shows(seed) for seed in range(3))


#: Faults in how parts are put together: in which of the two kernels, what stands there, and what in its place.
PART_FAULTS = {
    "blocks that do not know their part": (0, r"mov\.u32(\s+%\w+), %ctaid\.x", r"mov.u32\1, 0"),
    "parts under their own maxima": (1, r"ex2\.approx\.f32(\s+%\w+), %\w+", r"mov.b32\1, 0f3F800000"),
    "weights of the last part alone": (
        1,
        r"(?s)(.*fma\.rn\.f32(?:\s+%\w+,){3}) %\w+(;\s*rcp)",
        r"\1 0f00000000\2",
    ),
}


@pytest.mark.parametrize("name", PART_FAULTS)
def test_faults_between_blocks_are_caught(name, monkeypatch):
    split(monkeypatch)
    specs = specs_of((1, 1, 2, 16), (1, 1, 150, 16), 16, "float32", False)
    program = DeviceProgram(lowered(specs))
    inputs, (last, _, _) = inputs_of(specs), PART_FAULTS[name]
    kernels = program.text.partition(".visible .entry kernel_0_0(")
    faulty, count = re.subn(*PART_FAULTS[name][1:], kernels[2 * last])
    assert count, "the fault has no place in the code"
    text = kernels[0] + kernels[1] + faulty if last else faulty + kernels[1] + kernels[2]
    check(changed(program, program.text, inputs, 1), inputs)
    with pytest.raises((AssertionError, ptx.PtxFault)):
        check(changed(program, text, inputs, 1), inputs)


def test_windows_whose_lines_begin_anywhere():
    """Columns from the second one on: no copies of 16 bytes, the same results."""

    def window(q, keys, values):
        return tw.attention(q, keys[None, :, 3:, 1:17], values[None, :, 3:, 1:17])

    wide = tw.spec((1, 75, 19), "float32")
    program = DeviceProgram(
        tw.jit(window).trace(tw.spec((1, 2, 1, 16), "float32"), wide, wide).lower(ARCH), adversarial=7
    )
    q, keys, values = inputs_of([tw.spec((1, 2, 1, 16), "float32"), wide, wide])
    check(program(q, keys, values)[0], [q, keys[None, :, 3:, 1:17], values[None, :, 3:, 1:17]])


@needs_ptxas
@pytest.mark.parametrize(
    ("arch", "q", "k", "dtype", "kernels"),
    [
        ("sm_80", (2, 16, 512, 128), (2, 4, 512, 128), "float32", 1),
        ("sm_90a", (4, 8, 512, 64), (4, 8, 512, 64), "float32", 1),
        ("sm_80", (1, 32, 1, 128), (1, 2, 8192, 128), "bfloat16", 2),
        ("sm_90a", (1, 16, 1, 128), (1, 1, 8192, 128), "float32", 2),
        ("sm_80", (4, 9, 1, 64), (4, 3, 4096, 64), "float16", 2),
        ("sm_80", (64, 8, 1, 128), (64, 8, 1024, 128), "float32", 1),
    ],
)
def test_assembles_without_spills(arch, q, k, dtype, kernels, tmp_path):
    specs = specs_of(q, k, k[-1], dtype, False)
    text = (
        tw.jit(lambda q, k, v: tw.attention(q, k, v, causal=True), target=f"cuda:{arch}")
        .lower(*specs)
        .as_text("object")
    )
    assert text.count(".entry") == kernels
    assembled = assemble(text, arch, tmp_path)
    assert assembled.spilled == 0
    found = machine_code(assembled)
    for each in ("LDGSTS.E.BYPASS.128", "LDS.128", "FFMA", "MUFU.EX2", "SHFL.BFLY", "STG.E.128"):
        assert any(one.startswith(each) for one in found), (each, sorted(set(found)))
    assert not any(one.startswith(("LDL", "STL")) for one in found)
