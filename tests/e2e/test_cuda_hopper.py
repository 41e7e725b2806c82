"""Target cuda on sm_90a: products whose tiles the copying unit brings and warpgroups multiply, in the PTX interpreter.

In both modes of it: a missing wait, fence or arrival, a wrong swizzle, descriptor or number of bytes is an error or a wrong result.
"""

from __future__ import annotations

import numpy as np
import pytest
import tilewright as tw
from cuda_device import DeviceProgram
from op_matrix import fresh_rng
from tilewright.targets.cuda import select

ARCH = "cuda:sm_90a"


@pytest.fixture
def small_gpu(monkeypatch):
    """Make select take its largest tiles for products that the interpreter can do."""
    monkeypatch.setattr(select.Machine, "processors", property(lambda self: 1))


#: How the factors lie: function, their shapes from m, n, k.
LAYOUTS = {
    "rows-columns": (lambda a, b: a @ b, lambda m, n, k: [(m, k), (k, n)]),
    "rows-rows": (lambda a, b: a @ tw.transpose(b), lambda m, n, k: [(m, k), (n, k)]),
    "columns-columns": (lambda a, b: tw.transpose(a) @ b, lambda m, n, k: [(k, m), (k, n)]),
    "batched": (lambda a, b: a @ b, lambda m, n, k: [(2, m, k), (2, k, n)]),
}


def product(name, a, b):
    """In float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return {"rows-rows": lambda: a @ b.T, "columns-columns": lambda: a.T @ b}.get(name, lambda: a @ b)()


@pytest.mark.parametrize("name", LAYOUTS)
def test_products(name, small_gpu):
    fn, shapes = LAYOUTS[name]
    rng = fresh_rng()
    # Whole tiles; broken ones in all directions, and more steps along the depth than the ring has stages.
    for number, (m, n, k) in enumerate([(128, 256, 64), (72, 136, 328)]):
        dtype = ("bfloat16", "float16")[number]
        specs = [tw.spec(shape, dtype) for shape in shapes(m, n, k)]
        for adversarial in (None, int(rng.integers(1 << 30))):
            program = DeviceProgram(tw.jit(fn).trace(*specs).lower(ARCH), adversarial)
            a, b = (rng.standard_normal(s.shape).astype(s.dtype.numpy) for s in specs)
            (found,) = program(a, b)
            expected = product(name, a, b)
            scale = product(name, np.abs(a), np.abs(b))
            step = 2.0 ** (-8 if dtype == "bfloat16" else -11)
            assert np.all(np.abs(found.astype(np.float64) - expected) <= (4 * step + k * 2.0**-24) * scale)
            assert "wgmma.mma_async" in program.text and "cp.async.bulk.tensor" in program.text
            assert len(program.launches) == 1


def test_epilogues_and_sizes_known_at_run_time(small_gpu):
    rng = fresh_rng()

    def fn(x, w, b, r):
        return tw.silu(x @ w + b) + r

    specs = [tw.spec(s, "bfloat16") for s in (("m", 128), (128, 256), (256,), ("m", 256))]
    program = DeviceProgram(tw.jit(fn).trace(*specs).lower(ARCH), 5)
    for m in (1, 130):
        shapes = [(m, 128), (128, 256), (256,), (m, 256)]
        inputs = [rng.standard_normal(s).astype(specs[0].dtype.numpy) for s in shapes]
        (found,) = program(*inputs)
        x, w, b, r = (each.astype(np.float64) for each in inputs)
        sums = x @ w + b
        assert np.allclose(found.astype(np.float64), sums / (1 + np.exp(-sums)) + r, rtol=0.02, atol=0.2)
    assert {name for name, _, _ in program.launches} == {"kernel_0_0"} and "wgmma" in program.text


def test_rows_of_odd_length_take_the_other_way(small_gpu):
    """Rows of 180 bytes are no multiple of 16, which tensor maps want."""
    rng = fresh_rng()
    specs = [tw.spec((64, 32), "float16"), tw.spec((32, 90), "float16")]
    program = DeviceProgram(tw.jit(lambda a, b: a @ b).trace(*specs).lower(ARCH))
    a, b = (rng.standard_normal(s.shape).astype(np.float16) for s in specs)
    expected = a.astype(np.float64) @ b.astype(np.float64)
    assert np.allclose(program(a, b)[0].astype(np.float64), expected, atol=0.05)
    assert "wgmma" not in program.text and "mma.sync" in program.text


def test_the_manifest_says_what_launches_want(small_gpu):
    program = DeviceProgram(
        tw.jit(lambda a, b: a @ b)
        .trace(tw.spec((256, 128), "bfloat16"), tw.spec((128, 512), "bfloat16"))
        .lower(ARCH)
    )
    (kernel,) = program.manifest["device"]["kernels"]
    assert kernel["shared"] > 48 * 1024 and kernel["parameters"] == 3
    left, right = kernel["maps"]
    assert left == {"parameter": 0, "dtype": "bfloat16", "box": [64, 128], "swizzle": 128}
    assert right == {"parameter": 1, "dtype": "bfloat16", "box": [64, 64], "swizzle": 128}
