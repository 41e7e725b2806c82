"""quantize and dequantize in every format, alone and fused into a matmul, on both targets."""

from __future__ import annotations

import numpy as np
import pytest
import tilewright as tw
from op_matrix import TARGETS, fresh_rng
from tilewright import dtypes, formats
from tolerance import assert_close

BLOCKS = [name for name, row in formats.FORMATS.items() if row.is_block]
SHAPES = dict.fromkeys(("q4_k", "q5_k", "q6_k"), ((3, 256), (5, 512)))
PLAIN = ((1, 32), (3, 64), (17, 96))


def planes_as_tensor(planes, name, dtype="float32"):
    return tw.QuantizedTensor(planes, format=name, dtype=dtype)


def integer_formats():
    for name in ("int8", "int4"):
        for group in ("tensor", "channel", 16):
            for symmetric in (True, False):
                yield pytest.param(
                    name, group, symmetric, id=f"{name}-{group}-{'plain' if symmetric else 'zeros'}"
                )


def judge_dequantize(name, planes, shape, dtype):
    def program(planes):
        return tw.dequantize(planes_as_tensor(planes, name), dtype=dtype)

    expected = formats.dequantize(name, *planes.values())
    magnitude = np.abs(expected).max(initial=0) * 4
    traced = tw.jit(program).trace(planes)
    for target in TARGETS:
        actual = np.asarray(traced.lower(target).compile()(planes))
        assert_close(actual, expected, dtype, magnitude=magnitude, what=f"{name} {shape} {dtype} on {target}")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("name", BLOCKS)
def test_dequantize_blocks(name, dtype):
    rng = fresh_rng()
    for shape in SHAPES.get(name, PLAIN):
        planes = formats.quantize(name, rng.standard_normal(shape))
        judge_dequantize(name, planes, shape, dtype)


@pytest.mark.parametrize(("name", "group", "symmetric"), list(integer_formats()))
def test_dequantize_integers(name, group, symmetric):
    rng = fresh_rng()
    for shape in ((1, 32), (17, 48)):
        planes = formats.quantize(name, rng.standard_normal(shape) + 0.5, group=group, symmetric=symmetric)
        judge_dequantize(name, planes, shape, "float32")


@pytest.mark.parametrize(
    ("name", "group"),
    [*((name, "channel") for name in (*BLOCKS, "int8", "int4")), ("int8", 32), ("int4", 32)],
)
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_matmul_with_quantised_weights(name, group, dynamic):
    """Dequantisation is fused into the contraction; the result is that of the dequantised weights."""
    rng = fresh_rng()
    rows, columns = 37, 512
    planes = formats.quantize(name, rng.standard_normal((rows, columns)), group=group)
    weights = formats.dequantize(name, *planes.values())
    m = tw.Dim("m")
    sizes = (1, 2, 7, 64)

    def program(x, planes):
        return tw.linear(x, planes_as_tensor(planes, name))

    for size in sizes if not dynamic else (None,):
        traced = tw.jit(program).trace(tw.spec((m if size is None else size, columns), "float32"), planes)
        for target in TARGETS:
            run = traced.lower(target).compile()
            for count in (size,) if size else sizes:
                x = rng.standard_normal((count, columns)).astype(np.float32)
                expected = x.astype(np.float64) @ weights.T
                magnitude = np.abs(x).astype(np.float64) @ np.abs(weights).T * 2
                assert_close(
                    np.asarray(run(x, planes)),
                    expected,
                    "float32",
                    columns,
                    magnitude,
                    f"{name} [{count}] on {target}",
                )


@pytest.mark.parametrize("name", BLOCKS)
def test_packed_weights(name):
    """The same as weights, which are packed into panels: one row dequantises in the contraction, many into a panel."""
    rng = fresh_rng()
    planes = formats.quantize(name, rng.standard_normal((70, 512)))
    weights = formats.dequantize(name, *planes.values())
    run = tw.jit(lambda x, w: tw.linear(x, w), weight_argnums=1, dynamic=False)
    for rows in (1, 17):
        x = rng.standard_normal((rows, 512)).astype(np.float32)
        magnitude = np.abs(x).astype(np.float64) @ np.abs(weights).T * 2
        actual = np.asarray(run(x, planes_as_tensor(planes, name)))
        assert_close(actual, x.astype(np.float64) @ weights.T, "float32", 512, magnitude, f"{name} [{rows}]")


@pytest.mark.parametrize("name", ["q4_0", "q4_1", "q8_0"])
@pytest.mark.parametrize(
    "rows, columns, depth", [(5, 50, 96), (8, 70, 64), (16, 33, 32), (20, 170, 96), (64, 130, 64)]
)
def test_columns_that_no_panel_divides(name, rows, columns, depth):
    """Weights dequantised into panels in the kernel that multiplies: the last panel is not full, the others are."""
    rng = fresh_rng()
    planes = formats.quantize(name, rng.standard_normal((columns, depth), dtype=np.float32))
    x, weight = rng.standard_normal((rows, depth), dtype=np.float32), planes_as_tensor(planes, name)
    product = tw.jit(lambda w, x: tw.linear(x, w), weight_argnums=0)
    exact = formats.dequantize(name, *planes.values())
    np.testing.assert_allclose(product(weight, x), x.astype(np.float64) @ exact.T, rtol=0, atol=2e-4)


def quantisers():
    for name in ("q8_0", "q4_0", "q4_1"):
        yield pytest.param(name, "channel", id=name)
    for name in ("int8", "int4"):
        for group in ("tensor", "channel", 16):
            yield pytest.param(name, group, id=f"{name}-{group}")


@pytest.mark.parametrize(("name", "group"), list(quantisers()))
def test_quantize_inside_a_program(name, group):
    """Numbers come back within half a step, and the integers are those of `formats.quantize` but for ties."""
    rng = fresh_rng()
    m = tw.Dim("m")

    def program(x):
        q = tw.quantize(x, name, group=group)
        return q.planes, tw.dequantize(q)

    traced = tw.jit(program).trace(tw.spec((m, 64), "float32"))
    for target in TARGETS:
        run = traced.lower(target).compile()
        for rows in (1, 5, 16):
            x = rng.standard_normal((rows, 64)).astype(np.float32)
            x[0, :32] = 0
            planes, back = run(x)
            planes, back = {key: np.asarray(plane) for key, plane in planes.items()}, np.asarray(back)
            expected = formats.quantize(name, x, group=group)
            assert planes.keys() == expected.keys()
            for key, plane in planes.items():
                assert (plane.shape, plane.dtype) == (expected[key].shape, expected[key].dtype)
            eps = dtypes.finfo(dtypes.of(planes["scales"])).eps
            for key in planes.keys() - {"storage"}:
                np.testing.assert_allclose(planes[key], expected[key], rtol=eps, atol=1e-7)
            scales = np.abs(planes["scales"].astype(np.float64))
            step = np.repeat(scales.reshape(rows, -1), 64 * rows // scales.size, 1) if scales.ndim else scales
            # Half a step, what rounding the scale costs at the largest integer, and in q4_0 that 8 is not stored.
            largest = {"q4_0": 8, "q4_1": 15, "int4": 7}.get(name, 127)
            bound = (
                step * (1 if name == "q4_0" else 0.5) + step * largest * eps * 2 + 2 * eps * np.abs(x).max()
            )
            assert (np.abs(back - x) <= bound + 1e-7).all()
            # A scale that was rounded to half precision divides q8_0: one step, where GGML's lies on the other side.
            reference = formats.dequantize(name, *expected.values())
            apart = np.abs(back - reference) > step * largest * eps * 2 + 1e-6
            assert apart.mean() <= (0.1 if name == "q8_0" else 0.01)
            assert (np.abs(back - reference) <= step * 1.1 + 1e-6).all()
