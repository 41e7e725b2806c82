"""Faults planted in generated PTX: each must end in an error of the interpreter or in a wrong result."""

from __future__ import annotations

import re

import numpy as np
import ptx
import pytest
import tilewright as tw
from cuda_device import DeviceProgram
from op_matrix import fresh_rng
from tilewright.targets.cuda import select


def run(program: DeviceProgram, text: str, inputs: list[np.ndarray], seed: int) -> np.ndarray:
    """Run the program with other device code."""
    program.text, program.module, program.adversarial = text, ptx.load(text), seed
    return program(*inputs)[0].astype(np.float64)


def is_caught(program: DeviceProgram, fault: tuple[str, str], inputs: list[np.ndarray]) -> bool:
    """Whether the first place that matches, rewritten, shows in one of three schedules."""
    text = program.text
    good = run(program, text, inputs, 1)
    changed, count = re.subn(fault[0], fault[1], text, count=1)
    assert count == 1, f"{fault[0]} is not in the code"
    for seed in range(3):
        try:
            if not np.array_equal(run(program, changed, inputs, seed), good):
                return True
        except ptx.PtxFault:
            return True
    return False


TENSOR = {
    "no wait for the tile": (r"cp\.async\.wait_group\s+2;", ""),
    "a wait too weak": (r"cp\.async\.wait_group\s+2;", "cp.async.wait_group 3;"),
    "no barrier after the wait": (r"(cp\.async\.wait_group\s+2;\s*)bar\.sync\s+0;", r"\1"),
    "a fragment not turned": (r"(ldmatrix\.sync\.aligned\.m8n8\.x4)\.trans", r"\1"),
    "one group of copies too few": (r"cp\.async\.commit_group;", ""),
}
TF32 = {
    "bits are dropped": (r"cvt\.rna\.tf32\.f32", "mov.b32"),
    "words of another row": (r"ld\.shared\.b32\s+(%r\d+), \[(%\w+)\+\d+\];", r"ld.shared.b32 \1, [\2];"),
    "copies of one word for four": (r"(cp\.async\.cg\.shared\.global [^;]*), 16;", r"\1, 16, 4;"),
}
WARPGROUP = {
    "no fence": (r"wgmma\.fence\.sync\.aligned;", ""),
    "no wait for the products": (r"wgmma\.wait_group\.sync\.aligned 0;", ""),
    "fewer bytes than come": (r"(arrive\.expect_tx\.shared::cta\.b64 _, \[[^]]*\], )\d+;", r"\g<1>16;"),
    "nobody says that a stage was read": (r"mbarrier\.arrive\.shared::cta\.b64 _, \[[^]]*\];", ""),
    "too many arrivals expected": (r"(mbarrier\.init\.shared::cta\.b64 \[[^]]*\]), 8;", r"\1, 9;"),
    "a wrong layout": (r"(wgmma\.mma_async[^;]*), 0, 1;", r"\1, 0, 0;"),
    "results that the copying unit does not see": (r"fence\.proxy\.async\.shared::cta;", ""),
    "results that leave before all are there": (
        r"(?s)(fence\.proxy\.async\.shared::cta;.*?)bar\.sync [^;]*;",
        r"\1",
    ),
    "memory that ends before results have left": (r"cp\.async\.bulk\.wait_group 0;", ""),
}
#: Of blocks that share a factor, and go from tile to tile.
CLUSTER_MEETING = r"barrier\.cluster\.arrive\.release;\s*barrier\.cluster\.wait\.acquire;"
CLUSTER = {
    "results laid down before the last ones left": (r"cp\.async\.bulk\.wait_group\.read 1;", ""),
    "a parity that stays": (r"xor\.b32(\s+)(%r\d+), (%r\d+), %r\d+;", r"xor.b32\1\2, \3, 0;"),
    "copies before the other's barriers are there": (CLUSTER_MEETING, "bar.sync 0;"),
    "a block that ends while the other reports to it": (rf"(?s)(.*){CLUSTER_MEETING}", r"\1"),
    "a stage that only its own readers free": (
        r"(mbarrier\.init\.shared::cta\.b64 \[[^]]*\]), 16;",
        r"\1, 8;",
    ),
    "nobody tells the other block": (r"setp\.gt\.u64\s+(%p\d+), (%rd\d+), 1;", r"setp.gt.u64 \1, \2, 0;"),
    "a factor that one block keeps to itself": (r"mov\.b16(\s+%rs\d+), 3;", r"mov.b16\1, 1;"),
}


@pytest.mark.parametrize("name", TENSOR)
def test_products_on_tensor_cores(name):
    specs = [tw.spec((64, 256), "bfloat16"), tw.spec((256, 64), "bfloat16")]
    program = DeviceProgram(tw.jit(lambda a, b: a @ b).trace(*specs).lower("cuda:sm_80"))
    rng = fresh_rng()
    assert is_caught(
        program, TENSOR[name], [rng.standard_normal(s.shape).astype(s.dtype.numpy) for s in specs]
    )


@pytest.mark.parametrize("name", TF32)
def test_products_of_float32_on_tensor_cores(name):
    specs = [tw.spec((64, 32)), tw.spec((32, 64))]
    program = DeviceProgram(tw.jit(lambda a, b: a @ b, precision="tf32").trace(*specs).lower("cuda:sm_80"))
    rng = fresh_rng()
    assert is_caught(program, TF32[name], [rng.standard_normal(s.shape).astype(s.dtype.numpy) for s in specs])


@pytest.mark.parametrize("name", WARPGROUP)
def test_products_by_warpgroups(name, monkeypatch):
    monkeypatch.setattr(select.Machine, "processors", property(lambda self: 1))
    specs = [tw.spec((128, 512), "bfloat16"), tw.spec((512, 128), "bfloat16")]
    program = DeviceProgram(tw.jit(lambda a, b: a @ b).trace(*specs).lower("cuda:sm_90a"))
    rng = fresh_rng()
    assert is_caught(
        program, WARPGROUP[name], [rng.standard_normal(s.shape).astype(s.dtype.numpy) for s in specs]
    )


@pytest.mark.parametrize("name", CLUSTER)
def test_products_of_clusters(name, monkeypatch):
    monkeypatch.setattr(select.Machine, "processors", property(lambda self: 1))
    specs = [tw.spec((256, 192), "bfloat16"), tw.spec((192, 264), "bfloat16")]
    program = DeviceProgram(tw.jit(lambda a, b: a @ b).trace(*specs).lower("cuda:sm_90a"))
    rng = fresh_rng()
    assert is_caught(
        program, CLUSTER[name], [rng.standard_normal(s.shape).astype(s.dtype.numpy) for s in specs]
    )
