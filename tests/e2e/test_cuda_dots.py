"""Target cuda: products of few rows with weights that lie along the depth, in the interpreter against float64."""

from __future__ import annotations

import re

import numpy as np
import ptx
import pytest
import tilewright as tw
from assembler import assemble, machine_code, needs_ptxas
from cuda_device import DeviceProgram
from op_matrix import fresh_rng
from tilewright import formats
from tilewright.targets.cuda import select

ARCH = "cuda:sm_80"


def compiled(fn, *specs, target: str = ARCH, adversarial: int | None = None) -> DeviceProgram:
    """Compile for the interpreter."""
    return DeviceProgram(tw.jit(fn).trace(*specs).lower(target), adversarial)


def judge(found, x, w, what) -> None:
    """As near as sums in float32 are: each thread adds up to a thousand products, lanes and warps a few more."""
    wide, weights = x.astype(np.float64), w.astype(np.float64)
    bound = 2.0**-24 * 64 * (np.abs(wide) @ np.abs(weights).T)
    assert np.all(np.abs(found.astype(np.float64) - wide @ weights.T) <= bound + 1e-30), what


def quantised(rng, name: str, shape, **options):
    """Planes of random weights, in the order of a program's arguments, and the numbers that they stand for."""
    planes = formats.quantize(name, rng.standard_normal(shape).astype(np.float32), **options)
    return planes, [planes[key] for key in sorted(planes)], formats.dequantize(name, *planes.values())


#: Format, its options, rows, depth: what is in a byte, in two planes, what shares a scale; whole and broken turns.
FORMATS = [
    ("q4_0", {}, 1, 1024), ("q4_0", {}, 3, 1056), ("q4_0", {}, 8, 1024), ("q4_1", {}, 2, 1024), ("q5_0", {}, 1, 1024),
    ("q8_0", {}, 1, 1536), ("q4_k", {}, 5, 1024), ("q6_k", {}, 1, 1024), ("int8", {}, 1, 2080),
    ("int8", {"group": 32, "symmetric": False}, 2, 1024), ("int4", {"group": 32}, 1, 1024),
    ("int4", {"group": "tensor"}, 4, 1024), ("int4", {"group": 16, "symmetric": False}, 1, 1056),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "rows", "depth"), FORMATS, ids=str)
def test_quantised_weights(name, options, rows, depth):
    """One launch that dequantises in registers, without conversions of integers; in every warp order."""
    rng = fresh_rng()
    columns = int(rng.integers(17, 60))
    planes, arrays, w = quantised(rng, name, (columns, depth), **options)
    program = compiled(
        lambda x, p: tw.linear(x, tw.QuantizedTensor(p, format=name)), tw.spec((rows, depth)), planes,
        adversarial=int(rng.integers(1 << 30)) if rows < 3 else None,
    )  # fmt: skip
    x = rng.standard_normal((rows, depth)).astype(np.float32)
    judge(program(x, *arrays)[0], x, w, (name, rows, depth, columns))
    assert len(program.launches) == 1 and "shfl.sync" in program.text
    # What a whole group shares, zeros of integers among it, is converted once for all of it.
    assert len(re.findall(r"cvt\.rn\.f32\.[su](?:8|16|32)", program.text)) <= 8
    assert np.array_equal(program(x, *arrays)[0], program(x, *arrays)[0])


@pytest.mark.parametrize("target", [ARCH, "cuda:sm_90a"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_plain_weights_with_epilogue(dtype, target):
    """An epilogue, a number of rows that no block divides, a depth that no warp divides."""
    rng = fresh_rng()
    kind = tw.dtypes.by_name(dtype).numpy
    for rows, columns, depth in ((1, 40, 4104), (2, 33, 1000), (7, 9, 520)):
        program = compiled(
            lambda x, w, b: tw.maximum(tw.linear(x, w) + b, 0),
            *(tw.spec(s, dtype) for s in ((rows, depth), (columns, depth), (columns,))), target=target,
        )  # fmt: skip
        x, w, b = (rng.standard_normal(s).astype(kind) for s in ((rows, depth), (columns, depth), (columns,)))
        wide = [each.astype(np.float64) for each in (x, w, b)]
        scale = np.abs(wide[0]) @ np.abs(wide[1]).T + np.abs(wide[2])
        step = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24}[dtype]
        (found,) = program(x, w, b)
        expected = np.maximum(wide[0] @ wide[1].T + wide[2], 0)
        assert np.all(np.abs(found.astype(np.float64) - expected) <= (2 * step + 64 * 2.0**-24) * scale)
        assert len(program.launches) == 1 and "mma" not in program.text


def test_depth_in_panels_and_groups_of_rows(monkeypatch):
    """More of the few rows than registers hold, and blocks that go on to further rows of weights."""
    monkeypatch.setattr(select.Machine, "processors", property(lambda self: 2))
    rng = fresh_rng()
    planes, arrays, w = quantised(rng, "q4_0", (133, 4096))
    lowered = tw.jit(lambda x, p: tw.linear(x, tw.QuantizedTensor(p, format="q4_0"))).trace(
        tw.spec((8, 4096)), planes
    )
    program = DeviceProgram(lowered.lower(ARCH))
    x = rng.standard_normal((8, 4096)).astype(np.float32)
    judge(program(x, *arrays)[0], x, w, "panels")
    ((_, blocks, threads),) = program.launches
    assert blocks * 16 < 133 and threads == 256


def test_unknown_rows_of_weights_and_a_batch():
    """As many rows of weights as come; keys of several heads, as when a token is decoded."""
    rng = fresh_rng()
    program = compiled(
        lambda x, w: tw.linear(x, w), tw.spec((2, 512)), tw.spec((tw.Dim("n", min=0), 512)), adversarial=5
    )
    x = rng.standard_normal((2, 512)).astype(np.float32)
    for columns in (1, 5, 130, 0):
        w = rng.standard_normal((columns, 512)).astype(np.float32)
        judge(program(x, w)[0], x, w, columns)
    program = compiled(
        lambda q, k: tw.matmul(q, tw.swapaxes(k, -1, -2)), tw.spec((2, 3, 1, 128)), tw.spec((2, 3, 21, 128))
    )
    q, k = (rng.standard_normal(s).astype(np.float32) for s in ((2, 3, 1, 128), (2, 3, 21, 128)))
    expected = q.astype(np.float64) @ np.swapaxes(k, -1, -2).astype(np.float64)
    assert np.allclose(program(q, k)[0], expected, rtol=1e-5, atol=1e-4)
    assert len(program.launches) == 1 and "shfl.sync" in program.text


def test_nothing_leaks_from_beyond_a_row():
    """Threads without a unit look at another one's: what is infinite there stays there."""
    x, w = np.zeros((1, 1056), np.float32), np.ones((4, 1056), np.float32)
    x[0, :4], w[2, :4] = 1, np.inf
    (found,) = compiled(lambda x, w: tw.linear(x, w), tw.spec(x.shape), tw.spec(w.shape))(x, w)
    x[0, 4:] = 0
    assert np.isnan(found[0, 2]) == np.isnan((x @ w.T)[0, 2]) and np.all(found[0, [0, 1, 3]] == 4)


FAULTS = {
    "no wait for the few rows": (r"bar\.sync\s+0;", ""),
    "nobody waits before they are replaced": (r"(bar\.sync\s+0;(?s:.*?))bar\.sync\s+0;", r"\1"),
    "sums are read before they are there": (r"(?s)(.*)bar\.sync\s+0;", r"\1"),
    "lanes meet the wrong lanes": (r"shfl\.sync\.bfly\.b32\s+([^;]*), 16, 31, -1;", r"shfl.sync.bfly.b32 \1, 8, 31, -1;"),
    "one lane less": (r"shfl\.sync\.bfly\.b32\s+([^;]*), 1, 31, -1;", r"shfl.sync.bfly.b32 \1, 2, 31, -1;"),
    "other bits of a word": (r"lop3\.b32 ([^;]*), 0x6a;", r"lop3.b32 \1, 0x2a;"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults(name):
    """Each ends in an error of the interpreter or in other results."""
    rng = fresh_rng()
    planes, arrays, _ = quantised(rng, "q4_0", (16, 2048))
    program = compiled(
        lambda x, p: tw.linear(x, tw.QuantizedTensor(p, format="q4_0")), tw.spec((2, 2048)), planes
    )
    inputs = [rng.standard_normal((2, 2048)).astype(np.float32), *arrays]
    good = program(*inputs)[0]
    changed, count = re.subn(*FAULTS[name], program.text, count=1)
    assert count == 1
    program.module = ptx.load(changed)
    for seed in range(3):
        program.adversarial = seed
        try:
            if not np.array_equal(program(*inputs)[0], good):
                return
        except ptx.PtxFault:
            return
    pytest.fail("was not caught")


#: Format, dtype of the row: the most instructions per weight that the loop along rows of weights may have.
LOOPS = [("q4_0", 1, 3.8), ("q4_1", 1, 3.9), ("int4", 1, 3.8), ("q8_0", 1, 4.4), ("q4_0", 2, 5.0)]


@needs_ptxas
@pytest.mark.parametrize(("name", "rows", "most"), LOOPS)
def test_instructions_per_weight(name, rows, most, tmp_path):
    """Wide reads, bits taken by one instruction, no conversion of integers, registers for two blocks at least."""
    specs = {
        p: tw.spec(s, d.name) for p, (s, d) in formats.plane_specs(name, (8192, 8192)).items() if p != "zeros"
    }
    lowered = tw.jit(lambda x, p: tw.linear(x, tw.QuantizedTensor(p, format=name)), target="cuda:sm_90a").lower(
        tw.spec((rows, 8192)), specs
    )  # fmt: skip
    assembled = assemble(lowered.as_text("object"), "sm_90a", tmp_path)
    assert assembled.spilled == 0 and assembled.registers[0] <= 128
    found = machine_code(assembled)
    threads, _, columns, _, lanes, turns = map(
        int, re.search(r"tile = \[([^\]]*)\][^>]*\"dots\"", lowered.as_text("vector")).group(1).split(", ")
    )
    weights = columns * turns * lanes * (1 if name == "q8_0" else 2)
    # The loop, and its last turn after it, are all but what every kernel has.
    assert len(found) <= 2 * most * weights + 200, (len(found), weights, threads)
    assert not any(each.startswith("I2F") for each in found)
    assert sum(each.startswith("LDG.E.128") for each in found) >= 2 * columns * turns
