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


def is_close(found, expected, scale, k, dtype):
    """Within what rounding to `dtype` once, and sums of k products in float32, may cost."""
    step = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-23}[dtype]
    return np.all(np.abs(found.astype(np.float64) - expected) <= (4 * step + k * 2.0**-24) * scale + 1e-6)


#: What leaves by the copying unit, and what warps write: function, factors' shapes, dtype of the result, how it leaves.
PERSISTENT = {
    "tiles": (lambda a, b: a @ b, lambda m, n, k: [(m, k), (k, n)], "bfloat16", True),
    "float32": (
        lambda a, b: tw.dot_general(a, b, lhs_contract=(1,), rhs_contract=(0,), dtype="float32"),
        lambda m, n, k: [(m, k), (k, n)],
        "float32",
        True,
    ),
    "batched": (lambda a, b: a @ b, lambda m, n, k: [(3, m, k), (3, k, n)], "bfloat16", True),
    "odd rows": (lambda a, b: a @ tw.transpose(b), lambda m, n, k: [(m, k), (n - 3, k)], "bfloat16", False),
    "two results": (
        lambda a, b: (lambda c: (c, tw.maximum(c, 0)))(a @ b),
        lambda m, n, k: [(m, k), (k, n)],
        "bfloat16",
        None,
    ),
}


@pytest.mark.parametrize("name", PERSISTENT)
def test_blocks_that_go_from_tile_to_tile(name, small_gpu):
    """More tiles than blocks, broken ones among them, and no whole rounds of the ring per tile."""
    fn, shapes, dtype, leaves = PERSISTENT[name]
    rng = fresh_rng()
    m, n, k = (72, 264, 72) if name == "batched" else (128, 776, 72)
    specs = [tw.spec(shape, "bfloat16") for shape in shapes(m, n, k)]
    a, b = (rng.standard_normal(s.shape).astype(s.dtype.numpy) for s in specs)
    program = DeviceProgram(tw.jit(fn).trace(*specs).lower(ARCH), int(rng.integers(1 << 30)))
    first, *others = program(a, b)
    layout = "rows-rows" if name == "odd rows" else name
    expected, scale = product(layout, a, b), product(layout, np.abs(a), np.abs(b))
    assert is_close(first, expected, scale, k, dtype)
    for other in others:
        assert np.array_equal(other, np.maximum(first, 0))
    ((_, blocks, _), *_) = program.launches
    assert blocks == program.processors
    if leaves is not None:
        assert ("global.shared::cta.tile.bulk_group" in program.text) == leaves
    # Which block computes a tile changes no bit.
    program.processors, program.adversarial = 1, None
    assert np.array_equal(program(a, b)[0], first)


@pytest.mark.parametrize("name", LAYOUTS)
def test_blocks_that_share_a_factor(name, small_gpu):
    """Two rows of tiles and a bit: the second block of the last cluster has nothing to write, and copies all the same."""
    fn, shapes = LAYOUTS[name]
    rng = fresh_rng()
    m, n, k = (136, 136, 72) if name == "batched" else (264, 136, 136)
    specs = [tw.spec(shape, "float16") for shape in shapes(m, n, k)]
    program = DeviceProgram(tw.jit(fn).trace(*specs).lower(ARCH), int(rng.integers(1 << 30)))
    a, b = (rng.standard_normal(s.shape).astype(np.float16) for s in specs)
    (found,) = program(a, b)
    assert is_close(found, product(name, a, b), product(name, np.abs(a), np.abs(b)), k, "float16")
    assert program.text.count("multicast::cluster") > 0 and ".reqnctapercluster 2" in program.text
    ((_, blocks, _),) = program.launches
    assert blocks == 2
    assert program.manifest["device"]["kernels"][0]["persistent"] == 2


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
    left, right, result = kernel["maps"]
    assert left == {"parameter": 0, "dtype": "bfloat16", "box": [64, 128], "swizzle": 128}
    assert right == {"parameter": 1, "dtype": "bfloat16", "box": [64, 64], "swizzle": 128}
    assert result == {"parameter": 2, "dtype": "bfloat16", "box": [64, 64], "swizzle": 128}
    assert kernel["persistent"] == 2
