"""Target cuda: products of float32 on tensor cores where `precision="tf32"` allows it, and nowhere else."""

from __future__ import annotations

import cuda_device
import numpy as np
import pytest
import tilewright as tw
from cuda_device import DeviceProgram
from op_matrix import fresh_rng
from tilewright.targets.cuda import select

#: At, below and above tiles of 64 by 64 by 16; rows of whole copies and others; less than a tile.
SHAPES = [(64, 64, 32), (65, 72, 36), (66, 130, 37), (9, 17, 5)]
#: Name: the axes that are added up.
LAYOUTS = {
    "rows by columns": (1, 0), "rows by rows": (1, 1), "columns by columns": (0, 0), "columns by rows": (0, 1),
}  # fmt: skip
MMA, WGMMA = "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", "k8.f32.tf32.tf32"


def compiled(fn, *specs, arch: str = "sm_80", adversarial: int | None = None) -> DeviceProgram:
    """Compile for the interpreter."""
    return DeviceProgram(tw.jit(fn).trace(*specs).lower(f"cuda:{arch}"), adversarial)


def product_along(left: int, right: int, precision: str | None = "tf32"):
    """A product that adds up along these axes."""

    def product(a, b):
        return tw.dot_general(a, b, lhs_contract=(left,), rhs_contract=(right,), precision=precision)

    return product


def nearest(x: np.ndarray) -> np.ndarray:
    """Round to the 10 bits of TF32, ties away from zero."""
    return ((x.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def nearest_even(x: np.ndarray) -> np.ndarray:
    """Round to the 10 bits of TF32, ties to even."""
    words = x.view(np.uint32)
    return (words + np.uint32(0xFFF) + (words >> 13 & 1) & np.uint32(0xFFFFE000)).view(np.float32)


def check(found, a, b, along, rounded=nearest):
    """Hold a product along these axes against float64: of the factors within TF32's error, of rounded ones in float32's."""

    def multiply(a, b):
        a, b = a.astype(np.float64), b.astype(np.float64)
        return (a if along[0] else a.T) @ (b.T if along[1] else b)

    # The most that one rounding changes, relative.
    step = 2.0**-11
    size, k = multiply(np.abs(a), np.abs(b)), a.shape[along[0]]
    # Tensor cores cut what they add up to the exponent of the largest; the interpreter rounds each sum once.
    sums = (k + 1) * 2.0 ** (-22 if cuda_device.mode else -24)
    assert np.all(np.abs(found - multiply(a, b)) <= ((1 + step) ** 2 * (1 + sums) - 1) * size)
    assert np.all(np.abs(found - multiply(rounded(a), rounded(b))) <= sums * (1 + step) ** 2 * size)


@pytest.mark.parametrize("name", LAYOUTS)
def test_products(name):
    left, right = LAYOUTS[name]
    rng = fresh_rng()
    for m, n, k in SHAPES:
        shapes = ((m, k) if left else (k, m), (n, k) if right else (k, n))
        a, b = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
        program = compiled(
            product_along(left, right), *map(tw.spec, shapes), adversarial=int(rng.integers(1 << 30))
        )
        (found,) = program(a, b)
        check(found, a, b, (left, right))
        assert MMA in program.text and "cvt.rna.tf32.f32" in program.text and len(program.launches) == 1
        # Rows of whole units are copied 16 bytes at a time, others word by word.
        assert ("cp.async.ca" in program.text) == any(shape[-1] % 4 for shape in shapes)


def test_only_where_asked_for():
    """Integers of 13 bits are exact in float32, and are not in TF32."""
    rng = fresh_rng()
    a = rng.integers(-(2**13), 2**13, (20, 33)).astype(np.float32)
    b = rng.integers(-1, 2, (33, 18)).astype(np.float32)
    specs = [tw.spec(x.shape) for x in (a, b)]
    for precision in (None, "highest"):
        program = compiled(product_along(1, 0, precision), *specs)
        assert "tf32" not in program.text and "mma.sync" not in program.text
        assert np.array_equal(program(a, b)[0], a @ b)
    rounded = compiled(product_along(1, 0), *specs)(a, b)[0]
    assert not np.array_equal(rounded, a @ b) and np.array_equal(rounded, nearest(a) @ b)


def test_what_is_not_finite_stays_so():
    a = np.ones((16, 16), np.float32)
    a[0, 3], a[1, 3], a[2, 3] = np.inf, np.nan, np.finfo(np.float32).max
    program = compiled(product_along(1, 1), tw.spec(a.shape), tw.spec(a.shape))
    (found,) = program(a, np.eye(16, dtype=np.float32))
    # The largest float32 has no neighbour above it in TF32.
    assert found[0, 3] == np.inf and np.isnan(found[1]).all() and found[2, 3] == np.inf
    assert np.isnan(found[0, :3]).all() and (found[3:] == 1).all()


def test_sizes_that_are_known_at_the_call():
    """Also none at all: rows of unknown length are copied word by word."""
    m, n, k = tw.Dim("m", min=0), tw.Dim("n"), tw.Dim("k", min=0)
    program = compiled(product_along(1, 0), tw.spec((m, k)), tw.spec((k, n)))
    rng = fresh_rng()
    for rows, columns, depth in ((37, 41, 19), (64, 16, 0), (0, 3, 5), (1, 1, 1)):
        a, b = (rng.standard_normal(s).astype(np.float32) for s in ((rows, depth), (depth, columns)))
        (found,) = program(a, b)
        assert found.shape == (rows, columns)
        check(found, a, b, (1, 0))


@pytest.fixture
def one_processor(monkeypatch):
    """Be a GPU that the largest tile keeps busy."""
    monkeypatch.setattr(select.Machine, "processors", property(lambda self: 1))


def test_in_the_largest_tile_with_an_epilogue(one_processor):
    rng = fresh_rng()
    a, b, shift = (rng.standard_normal(s).astype(np.float32) for s in ((130, 20), (20, 136), (136,)))
    program = compiled(
        lambda a, b, shift: tw.maximum(tw.matmul(a, b, precision="tf32") + shift, -9),
        *(tw.spec(x.shape) for x in (a, b, shift)),
    )
    (found,) = program(a, b, shift)
    wide = nearest(a).astype(np.float64) @ nearest(b) + shift
    assert np.allclose(found, np.maximum(wide, -9), rtol=1e-5, atol=1e-5) and MMA in program.text
    ((_, blocks, threads),) = program.launches
    assert (blocks, threads) == (4, 128)


def test_factors_that_are_computed():
    """Weights of 8 bits become float32 on the way to shared memory; a batch; a size that is known at the call."""
    rng = fresh_rng()
    x = rng.standard_normal((2, 19, 64)).astype(np.float32)
    planes = tw.formats.quantize("q8_0", rng.standard_normal((33, 64)).astype(np.float32))
    n = tw.Dim("n")
    program = compiled(
        lambda x, w: tw.linear(x * 2, tw.QuantizedTensor(w, format="q8_0"), precision="tf32"),
        tw.spec((2, n, 64)),
        {name: tw.spec(plane.shape, plane.dtype) for name, plane in planes.items()},
    )
    (found,) = program(x, *(planes[name] for name in sorted(planes)))
    wide = np.asarray(tw.dequantize(tw.QuantizedTensor(planes, format="q8_0"))).astype(np.float64)
    size = np.abs(2 * x).astype(np.float64) @ np.abs(wide).T
    assert np.all(np.abs(found - 2 * x.astype(np.float64) @ wide.T) <= 2.0**-9.9 * size)
    assert MMA in program.text


def test_convolutions():
    rng = fresh_rng()
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((2, 5, 9, 7), (6, 5, 3, 3)))
    specs = [tw.spec(a.shape) for a in (x, w)]
    program = compiled(lambda x, w: tw.conv(x, w, padding=1, precision="tf32"), *specs)
    (found,) = program(x, w)
    view = np.lib.stride_tricks.sliding_window_view(
        np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)]), (3, 3), axis=(2, 3)
    )
    size = np.einsum("nchwij,ocij->nohw", np.abs(view).astype(np.float64), np.abs(w))
    rounded = nearest(np.ascontiguousarray(view)).astype(np.float64)
    expected = np.einsum("nchwij,ocij->nohw", rounded, nearest(w))
    assert np.all(np.abs(found - expected) <= 46 * 2.0**-24 * (1 + 2.0**-9) * size) and MMA in program.text


def test_attention_is_not_rounded():
    """Two products with a softmax between them are one kernel of float32, whatever the products allow."""

    def fn(q, k, v):
        scores = tw.softmax(tw.einsum("bhsd,bhtd->bhst", q, k))
        return tw.einsum("bhst,bhtd->bhsd", scores, v)

    function = tw.jit(fn, precision="tf32", target="cuda:sm_80")
    text = function.lower(*[tw.spec((1, 1, 32, 16))] * 3).as_text("object")
    assert "tf32" not in text and "mma.sync" not in text


# ---- sm_90a -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(128, 256, 64), (72, 136, 100)])
def test_warpgroups(shape, one_processor):
    """Factors are rounded by the unit that copies them: tensor cores that read shared memory would drop bits."""
    m, n, k = shape
    rng = fresh_rng()
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((m, k), (n, k)))
    specs, seed = [tw.spec(a.shape), tw.spec(b.shape)], int(rng.integers(99))
    program = compiled(product_along(1, 1), *specs, arch="sm_90a", adversarial=seed)
    (found,) = program(a, b)
    assert WGMMA in program.text and "mma.sync" not in program.text
    check(found, a, b, (1, 1), nearest_even)


def test_other_layouts_are_no_work_of_warpgroups(one_processor):
    """They turn elements of 16 bits only."""
    rng = fresh_rng()
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((70, 36), (36, 132)))
    program = compiled(product_along(1, 0), tw.spec(a.shape), tw.spec(b.shape), arch="sm_90a")
    (found,) = program(a, b)
    assert MMA in program.text and "wgmma" not in program.text
    check(found, a, b, (1, 0))
