"""Faults planted in generated PTX: each must end in an error of the interpreter or in a wrong result."""

from __future__ import annotations

import pytest
import tilewright as tw
from cuda_device import DeviceProgram
from op_matrix import fresh_rng
from planted_ptx import is_caught, nth, run
from tilewright.targets.cuda import select

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


#: Of attention, in the order of the code: the warpgroups that multiply wait for queries, keys, values; the thread that
#: copies for empty stages.
WAIT, READERS = r"mbarrier\.try_wait[^;]*;\s*@!done bra WAIT_\d+;", r"(?<=\]), 8;"
DESCRIPTOR = (1 << 62) | (64 << 32)  # 128 permuted bytes, eight rows 1024 bytes apart
ATTENTION = {
    "no wait for the queries": nth(WAIT, 1, ""),
    "no wait for the keys": nth(WAIT, 2, ""),
    "no wait for the values": nth(WAIT, 3, ""),
    "keys copied over others that are still read": nth(WAIT, 4, ""),
    "values copied over others that are still read": nth(WAIT, 5, ""),
    "keys that one warp frees for all": nth(READERS, 1, ", 1;"),
    "values that one warpgroup frees for both": nth(READERS, 3, ", 4;"),
    "values freed by nobody": nth(r"mbarrier\.arrive\.shared::cta\.b64 _, \[[^]]*\];", 2, ""),
    "scores looked at before they are there": nth(r"wgmma\.wait_group\.sync\.aligned 0;", 1, ""),
    "sums looked at before they are there": nth(r"wgmma\.wait_group\.sync\.aligned 0;", 2, ""),
    "products that nobody waits for": nth(r"wgmma\.commit_group\.sync\.aligned;", 2, ""),
    "no fence behind the weights": nth(r"wgmma\.fence\.sync\.aligned;", 2, ""),
    "values not turned": (r"(wgmma\.mma_async[^;]*, 1, 1, )1;", r"\g<1>0;"),
    "keys without a swizzle": (str(DESCRIPTOR | 1 << 16), str((64 << 32) | 1 << 16)),
    "blocks of columns too near": (str(DESCRIPTOR | 1024 << 16), str(DESCRIPTOR | 512 << 16)),
    "the first scores added to old ones": (r"setp\.ne\.u32 first, 0, 0;", "setp.eq.u32 first, 0, 0;"),
    "keys beyond the last": (
        r"(?s)((?:.*?setp\.lt\.u64){9}.*?)setp\.lt\.u64(\s+%p\d+, %rd\d+), %rd\d+;",
        r"\1setp.ne.u64\2, -1;",
    ),
    "half of the queries": (r"(expect_tx\.shared::cta\.b64 _, \[[^]]*\]), 32768;", r"\1, 16384;"),
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


@pytest.fixture(scope="module")
def attention():
    """Keys of an unknown number, three tiles of them in a ring of two: the program, its arguments, its result."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(select.Machine, "processors", property(lambda self: 1))
        specs = [tw.spec((1, 1, n, 128), "bfloat16") for n in (70, "t", "t")]
        program = DeviceProgram(tw.jit(tw.attention).trace(*specs).lower("cuda:sm_90a"))
    rng = fresh_rng()
    inputs = [rng.standard_normal((1, 1, n, 128)).astype(specs[0].dtype.numpy) for n in (70, 270, 270)]
    return program, inputs, run(program, program.text, inputs, 1)


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_by_warpgroups(name, attention):
    program, inputs, good = attention
    assert is_caught(program, ATTENTION[name], inputs, good)
