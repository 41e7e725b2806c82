"""Kernels of sm_90 and newer begin before the kernel before them ends, and wait for it in their own code."""

from __future__ import annotations

import re

import numpy as np
import ptx
import pytest
import tilewright as tw
from cuda_device import DeviceProgram
from fake_cuda.libraries import installed
from fake_cuda.programs import sums, sums_reference
from op_matrix import fresh_rng
from tilewright import _runtime

WAIT, NEXT = "griddepcontrol.wait;", "griddepcontrol.launch_dependents;"

PROGRAMS = {
    "elements": (lambda x: x * 2, [((3, 70), "float32")]),
    "rows": (lambda x: tw.softmax(x), [((3, 70), "float32")]),
    "running totals": (lambda x: tw.cumsum(x, axis=1), [((3, 70), "float32")]),
    "tiles": (lambda a, b: tw.maximum(a @ b, 0), [((20, 30), "float32"), ((30, 40), "float32")]),
    "tensor cores": (lambda a, b: a @ b, [((64, 32), "bfloat16"), ((32, 64), "bfloat16")]),
    "few rows": (lambda a, b: a @ b.T, [((2, 64), "float32"), ((64, 64), "float32")]),
    "attention": (lambda q: tw.attention(q, q, q, causal=True), [((1, 1, 64, 32), "bfloat16")]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_kernels_wait_before_they_touch_memory(name):
    """The interpreter sees to it that nothing of global memory is touched before."""
    fn, specs = PROGRAMS[name]
    rng = fresh_rng()
    inputs = [rng.standard_normal(shape).astype(tw.dtypes.by_name(dtype).numpy) for shape, dtype in specs]
    traced = tw.jit(fn).trace(*(tw.spec(*each) for each in specs))
    older, program = DeviceProgram(traced.lower("cuda:sm_80")), DeviceProgram(traced.lower("cuda:sm_90"))
    assert WAIT not in older.text and NEXT not in older.text
    kernels = program.text.split(".entry")[1:]
    assert kernels
    for kernel in kernels:
        assert kernel.count(WAIT) == kernel.count(NEXT) == 1
        assert kernel.index(WAIT) < kernel.index(NEXT)
    assert all(entry["overlap"] is True for entry in program.manifest["device"]["kernels"])
    assert np.array_equal(program(*inputs)[0], older(*inputs)[0])


def test_kernels_of_warpgroups_wait(monkeypatch):
    """Their barriers and descriptors of arrays are no memory of others'."""
    from tilewright.targets.cuda import select

    monkeypatch.setattr(select.Machine, "processors", property(lambda self: 1))
    specs = [tw.spec((128, 64), "bfloat16"), tw.spec((64, 256), "bfloat16")]
    program = DeviceProgram(tw.jit(lambda a, b: a @ b).trace(*specs).lower("cuda:sm_90a"), adversarial=1)
    assert "wgmma.mma_async" in program.text and WAIT in program.text
    rng = fresh_rng()
    a, b = (rng.standard_normal(s.shape).astype(s.dtype.numpy) for s in specs)
    wide = a.astype(np.float64) @ b.astype(np.float64)
    assert np.abs(program(a, b)[0].astype(np.float64) - wide).max() < 0.25


FAULTS = {
    "a load first": rf"(?s){re.escape(WAIT)}(.*?ld\.global[^;]*;)",
    "a store first": rf"(?s){re.escape(WAIT)}(.*?st\.global[^;]*;)",
    "copies first": rf"(?s){re.escape(WAIT)}(.*?cp\.async\.c[ag]\.shared[^;]*;)",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults(fault):
    """A wait that comes too late."""
    name = "tensor cores" if fault == "copies first" else "elements"
    fn, specs = PROGRAMS[name]
    program = DeviceProgram(tw.jit(fn).trace(*(tw.spec(*each) for each in specs)).lower("cuda:sm_90"))
    inputs = [np.ones(shape, tw.dtypes.by_name(dtype).numpy) for shape, dtype in specs]
    changed, count = re.subn(FAULTS[fault], rf"\1 {WAIT}", program.text, count=1)
    assert count == 1
    program.module = ptx.load(changed)
    with pytest.raises(ptx.TooEarly, match=r"before griddepcontrol\.wait"):
        program(*inputs)


def launches(log: list[str]) -> list[str]:
    """How each kernel was started: as usual or overlapping, at once or recorded."""
    found, overlaps = [], False
    for line in log:
        if line.startswith("attribute"):
            overlaps = line == "attribute 6"
        elif line.startswith("launch"):
            found.append(("overlapping" if overlaps else "plain") + " recorded" * line.endswith("recorded"))
            overlaps = False
    return found


@pytest.mark.parametrize("overlapping", [True, False])
def test_the_first_launch_of_a_call_waits_for_all_before_it(overlapping, rng, fake_gpu):
    """At once and in a graph: what others have put on the stream may not wait for what is before it."""
    fake_gpu.configure(capability=(9, 0))
    _runtime.set_cuda_options(True, False, overlapping)
    kind = "overlapping" if overlapping else "plain"
    with installed("cupy") as (module, _):
        fn = tw.jit(sums, target="cuda:sm_90").compile(tw.spec((5, 7))).executable
        for turn in range(4):
            x = rng.standard_normal((5, 7)).astype(np.float32)
            array = module.asarray(x)
            fake_gpu.log()
            np.testing.assert_allclose(fn(array).numpy(), sums_reference(x), rtol=1e-4, atol=1e-4)
            found = launches(fake_gpu.log())
            if turn == 0:
                assert found == ["plain", kind, kind, kind]
            elif turn == 1:
                assert found == ["plain recorded", *[f"{kind} recorded"] * 3]
    assert fake_gpu.fault is None
