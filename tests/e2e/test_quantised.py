"""quantize and dequantize in every format, alone and fused into a matmul, on both targets."""

from __future__ import annotations

import numpy as np
import pytest
import tilewright as tw
from op_matrix import TARGETS, fresh_rng
from tilewright import dtypes, formats
from tolerance import assert_close

SHAPES = {"q4_k": ((3, 256), (5, 512))}
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
@pytest.mark.parametrize("name", ["q4_0", "q4_1", "q8_0", "q4_k"])
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


@pytest.mark.parametrize("name", ["q4_0", "q4_1", "q8_0", "q4_k", "int8", "int4"])
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_matmul_with_quantised_weights(name, dynamic):
    """Dequantisation is fused into the contraction; the result is that of the dequantised weights."""
    rng = fresh_rng()
    rows, columns = 37, 512
    planes = formats.quantize(name, rng.standard_normal((rows, columns)))
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


@pytest.mark.parametrize("name", ["int8", "q8_0"])
def test_quantize_inside_a_program(name):
    rng = fresh_rng()
    m = tw.Dim("m")

    def program(x):
        q = tw.quantize(x, name)
        return q.planes["storage"], q.planes["scales"], tw.dequantize(q)

    traced = tw.jit(program).trace(tw.spec((m, 64), "float32"))
    for target in TARGETS:
        run = traced.lower(target).compile()
        for rows in (1, 5, 16):
            x = rng.standard_normal((rows, 64)).astype(np.float32)
            x[0, :32] = 0
            storage, scales, back = map(np.asarray, run(x))
            groups = x.reshape(rows, -1, 32) if name == "q8_0" else x
            step = np.abs(groups.astype(np.float64)).max(axis=-1) / 127
            eps = dtypes.finfo(dtypes.of(scales)).eps
            np.testing.assert_allclose(scales.astype(np.float64), step, rtol=eps, atol=1e-7)
            assert storage.dtype == np.int8 and np.abs(storage.astype(int)).max() == 127
            limit = np.repeat(step.reshape(rows, -1), 64 // (step.size // rows), axis=1)
            # half a step, and what rounding the scale costs at the largest weight
            assert (np.abs(back - x) <= limit * (0.5 + 127 * eps) + 1e-7).all()
