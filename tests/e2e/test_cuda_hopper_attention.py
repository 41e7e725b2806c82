"""Target cuda on sm_90a: attention whose tiles the copying unit brings and warpgroups multiply, in the PTX interpreter."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tilewright as tw
from cuda_attention import attention, large_equal_scores, specs_of
from cuda_device import DeviceProgram
from op_matrix import fresh_rng
from tilewright.targets.cuda import select

ARCH = "cuda:sm_90a"


@pytest.fixture(autouse=True)
def small_gpu(monkeypatch):
    """Make select choose warpgroups for what the interpreter can do."""
    monkeypatch.setattr(select.Machine, "processors", property(lambda self: 1))


def program_of(specs, adversarial=None, **options):
    """Attention for arguments like these."""
    traced = tw.jit(lambda q, k, v, *mask: tw.attention(q, k, v, *mask, **options)).trace(*specs)
    return DeviceProgram(traced.lower(ARCH), adversarial)


def random(specs):
    """Normally distributed arguments."""
    rng = fresh_rng()
    return [rng.standard_normal(s.shape).astype(s.dtype.numpy) for s in specs]


#: Shapes of q, k and v (whose last size may differ), causal, mask: rows and keys beyond the last, a ring that goes round
#: with heads that share keys, lines that are no whole blocks of 64 elements, several blocks, a mask.
CASES = {
    "keys that fill no tile": ((1, 1, 70, 64), (1, 1, 200, 64), 64, False, False),
    "keys for a second round": ((1, 2, 40, 128), (1, 1, 260, 128), 128, True, False),
    "odd lines": ((1, 1, 70, 80), (1, 1, 33, 80), 48, False, False),
    "whole tiles": ((2, 1, 128, 16), (2, 1, 128, 16), 16, True, False),
    "mask": ((1, 2, 70, 32), (1, 1, 90, 32), 16, False, True),
}


@pytest.mark.parametrize("name", CASES)
def test_one_launch(name):
    q, k, columns, causal, mask = CASES[name]
    dtype = ("bfloat16", "float16")[list(CASES).index(name) % 2]
    specs = specs_of(q, k, columns, dtype, mask)
    program, inputs = program_of(specs, causal=causal), random(specs)
    (found,) = program(*inputs)
    wide = [x.astype(np.float64) for x in inputs]
    expected = attention(*wide, causal=causal)
    step = 2.0 ** (-8 if dtype == "bfloat16" else -11)
    weight = attention(wide[0], wide[1], np.abs(wide[2]), *wide[3:], causal=causal)
    assert np.all(np.abs(found.astype(np.float64) - expected) <= 4 * step * weight)
    assert len(program.launches) == 1 and program.launches[0][2] == 384
    assert "wgmma.mma_async" in program.text and "cp.async.bulk.tensor" in program.text
    program.adversarial = int(fresh_rng().integers(1 << 30))
    assert np.array_equal(found, program(*inputs)[0]), "the same bits in any order of warps"


def test_early_keys_weigh_as_much_as_late_ones():
    """A maximum that stays from tile to tile scales nothing down."""
    inputs = large_equal_scores(70, 1024, "float16")
    specs = [tw.spec(x.shape, "float16") for x in inputs]
    program = DeviceProgram(tw.jit(lambda q, k, v: tw.attention(q, k, v)).trace(*specs).lower(ARCH))
    # Weights are rounded to the type of the values where they multiply, their sum is not.
    assert np.abs(program(*inputs)[0].astype(np.float64) - 0.5).max() <= 2**-10


def test_keys_that_no_row_sees_are_not_looked_at():
    """What lies there would spoil every sum: zero times no number is no number."""
    specs = [tw.spec((1, 1, 192, 16), "float16")] * 3
    program = program_of(specs, causal=True)
    q, k, v = random(specs)
    v[:, :, 128:] = np.nan
    (found,) = program(q, k, v)
    assert np.isfinite(found[:, :, :128]).all() and np.isnan(found[:, :, 128:]).all()


def test_sizes_known_at_run_time():
    """Also keys that are fewer than queries, and none: rows that see no key are no numbers, without keys they are zeros."""
    specs = [tw.spec((1, 1, n, 32), "bfloat16") for n in ("s", "t", "t")]
    program = program_of(specs, causal=True)
    rng = fresh_rng()
    for s, t in ((130, 140), (3, 1), (5, 0)):
        inputs = [rng.standard_normal((1, 1, n, 32)).astype(specs[0].dtype.numpy) for n in (s, t, t)]
        (found,) = program(*inputs)
        if t == 0:
            assert not found.astype(np.float64).any()
            continue
        seeing = slice(max(0, s - t), None)
        expected = attention(*(x.astype(np.float64) for x in inputs), causal=True)
        assert np.allclose(found.astype(np.float64)[:, :, seeing], expected[:, :, seeing], atol=0.03)
        assert np.isnan(found.astype(np.float64)[:, :, : seeing.start]).all()
    assert {name for name, _, threads in program.launches if threads == 384} == {"kernel_0_1"}
    assert "wgmma" in program.text


def test_windows_of_arrays_take_the_other_way():
    """Tensor maps are made of whole arrays."""
    specs = specs_of((1, 1, 70, 16), (1, 1, 90, 16), 16, "float16", False)

    def fn(q, k, v):
        return tw.attention(q, k[:, :, :80], v[:, :, :80])

    program = DeviceProgram(tw.jit(fn).trace(*specs).lower(ARCH))
    q, k, v = random(specs)
    expected = attention(*(x.astype(np.float64) for x in (q, k[:, :, :80], v[:, :, :80])))
    assert np.allclose(program(q, k, v)[0].astype(np.float64), expected, atol=0.01)
    assert "wgmma" not in program.text and "mma.sync" in program.text


def test_the_manifest_and_the_reason():
    specs = specs_of((1, 4, 64, 128), (1, 2, 256, 128), 128, "bfloat16", False)
    lowered = tw.jit(tw.attention).trace(*specs).lower(ARCH)
    (kernel,) = DeviceProgram(lowered).manifest["device"]["kernels"]
    assert [each["box"] for each in kernel["maps"]] == [[64, 128, 1, 1]] * 3
    assert 160 * 1024 < kernel["shared"] <= 227 * 1024
    (why,) = {line.strip() for line in lowered.explain().splitlines() if "two warpgroups" in line}
    assert re.search(
        r"128 at a time, 2 tiles of keys and of values in flight; 2 blocks on 1 multiprocessors", why
    )
