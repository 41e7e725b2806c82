"""Target cuda: what shares its rows is one kernel, whatever it consists of; run in the PTX interpreter in every warp order."""

from __future__ import annotations

import re

import numpy as np
import ptx
import pytest
import tilewright as tw
from cuda_device import DeviceProgram
from op_matrix import fresh_rng

ARCH = "cuda:sm_80"


def softmax(x):
    """In float64."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def normalised(x):
    """Of mean 0 and variance 1."""
    return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)


def by_power(x):
    """Of mean square 1."""
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-5)


#: Name: function, the same in float64, how many arrays of rows, how many of one row.
PROGRAMS = {
    "softmax": (lambda x: tw.softmax(x), softmax, 1, 0),
    "log-softmax": (lambda x: tw.log_softmax(x), lambda x: np.log(softmax(x)), 1, 0),
    "layer-norm": (
        lambda x, w, b: tw.layer_norm(x, w, b, eps=1e-5), lambda x, w, b: normalised(x) * w + b, 1, 2
    ),
    "rms-norm": (lambda x, w: tw.rms_norm(x, w, eps=1e-5), lambda x, w: by_power(x) * w, 1, 1),
    "residual": (lambda x, y, w: tw.rms_norm(x + y, w, eps=1e-5), lambda x, y, w: by_power(x + y) * w, 2, 1),
    "two norms": (
        lambda x, y, w: tw.rms_norm(tw.softmax(x * y), w, eps=1e-5), lambda x, y, w: by_power(softmax(x * y)) * w, 2, 1
    ),
    "variance": (lambda x: tw.var(x, axis=-1), lambda x: x.var(axis=-1), 1, 0),
}  # fmt: skip


#: A warp per row, several warps, whole and broken chunks, odd lengths, more rows than a block has.
SHAPES = [(3, 64), (9, 33), (1, 8), (5, 1000), (2, 1001), (3, 2048)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_one_launch(name):
    fn, reference, arrays, vectors = PROGRAMS[name]
    rng = fresh_rng()
    for number, (rows, length) in enumerate(SHAPES):
        dtype = "bfloat16" if number == 5 else "float32"
        shapes = [(rows, length)] * arrays + [(length,)] * vectors
        lowered = tw.jit(fn).trace(*(tw.spec(s, dtype) for s in shapes)).lower(ARCH)
        program = DeviceProgram(lowered, adversarial=int(rng.integers(1 << 30)) if number % 2 else None)
        inputs = [rng.standard_normal(s).astype(tw.dtypes.by_name(dtype).numpy) for s in shapes]
        (found,) = program(*inputs)
        expected = reference(*(x.astype(np.float64) for x in inputs))
        step = 2.0**-8 if dtype == "bfloat16" else 2.0**-20
        assert np.allclose(found.astype(np.float64), expected, rtol=8 * step, atol=2 * step), (
            name,
            rows,
            length,
        )
        assert len(program.launches) == 1, (name, rows, length)
        assert np.array_equal(found, program(*inputs)[0]), "the same bits in any order of warps"


CHOICES = {
    "argmax": (lambda x: tw.argmax(x, axis=1), lambda x: x.argmax(axis=1)),
    "argmin": (lambda x: tw.argmin(x, axis=1), lambda x: x.argmin(axis=1)),
}


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("dtype", ["float32", "int8", "float16"])
def test_the_first_of_the_best(name, dtype):
    """Among equals the first, among NaNs the first of those; whole and broken turns, rows that are read again."""
    fn, reference = CHOICES[name]
    rng = fresh_rng()
    for rows, length in ((3, 64), (9, 33), (2, 1001), (1, 5000), (2, 40001)):
        x = rng.integers(-20, 20, (rows, length)).astype(tw.dtypes.by_name(dtype).numpy)
        if dtype == "float32":
            x[0, rng.integers(0, length, 3)] = np.nan
        program = DeviceProgram(
            tw.jit(fn).trace(tw.spec(x.shape, dtype)).lower(ARCH),
            adversarial=int(rng.integers(1 << 30)) if length < 2000 else None,
        )
        assert np.array_equal(program(x)[0], reference(x)), (rows, length)
        assert len(program.launches) == 1 and "shfl.sync" in program.text
    program = DeviceProgram(tw.jit(fn).trace(tw.spec(("m", "n"), dtype)).lower(ARCH))
    x = np.full((2, 700), -np.inf if dtype != "int8" else -128).astype(tw.dtypes.by_name(dtype).numpy)
    assert np.array_equal(program(x)[0], [0, 0]), "nothing is better than what it starts from"


@pytest.mark.parametrize("name", ["any", "all"])
@pytest.mark.parametrize("dtype", ["bool", "float32", "int32"])
def test_bools_along_a_row(name, dtype):
    """Shared by threads; whatever is not zero is true, NaN as well."""
    rng = fresh_rng()
    for rows, length in ((5, 40), (3, 1001), (4, 4096)):
        x = np.full((rows, length), name == "all").astype(tw.dtypes.by_name(dtype).numpy)
        x[1, int(rng.integers(length))] = name == "any"
        if dtype == "float32":
            x[2, -1] = np.nan
        fn = tw.any if name == "any" else tw.all
        program = DeviceProgram(
            tw.jit(lambda x: fn(x, axis=1)).trace(tw.spec(x.shape, dtype)).lower(ARCH),
            adversarial=int(rng.integers(1 << 30)),
        )
        assert np.array_equal(program(x)[0], getattr(np, name)(x, axis=1)), (rows, length)
        assert len(program.launches) == 1 and "shfl.sync" in program.text


FAULTS = {
    "no barrier between warps": ("argmax", r"bar\.sync\s+0;", ""),
    "lanes meet the wrong lanes": ("argmax", r"shfl\.sync\.bfly\.b32\s+([^;]*), 16, 31, -1;", r"shfl.sync.bfly.b32 \1, 8, 31, -1;"),
    "no barrier between bools": ("any", r"bar\.sync\s+0;", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults(name):
    """Each ends in an error of the interpreter or in other results."""
    kind, pattern, instead = FAULTS[name]
    fn = (lambda x: tw.argmax(x, axis=1)) if kind == "argmax" else (lambda x: tw.any(x < -9, axis=1))
    x = np.zeros((32, 1000), np.float32)
    x[np.arange(32), np.arange(32) * 31] = 1 if kind == "argmax" else -10
    program = DeviceProgram(tw.jit(fn).trace(tw.spec(x.shape)).lower(ARCH))
    good = program(x)[0]
    changed, count = re.subn(pattern, instead, program.text, count=1)
    assert count == 1, pattern
    for seed in range(3):
        program.adversarial = seed
        try:
            program.module = ptx.load(changed)
            if not np.array_equal(program(x)[0], good):
                return
        except ptx.PtxFault:
            return
    pytest.fail("was not caught")


def test_long_and_unknown_rows_are_walked_again():
    """Longer than registers hold, or of a length that is known only at run time; none at all is no error."""
    rng = fresh_rng()
    x = rng.standard_normal((2, 40000)).astype(np.float32)
    program = DeviceProgram(tw.jit(lambda x: tw.softmax(x)).trace(tw.spec(x.shape)).lower(ARCH))
    assert np.allclose(program(x)[0], softmax(x.astype(np.float64)), rtol=1e-5)
    assert len(program.launches) == 1 and "ld.global.v4" in program.text
    fn = tw.jit(lambda x: tw.softmax(x)).trace(tw.spec((tw.Dim("m", min=0), "n")))
    program = DeviceProgram(fn.lower(ARCH), adversarial=3)
    for shape in ((5, 700), (3, 1), (1, 129), (0, 4)):
        y = rng.standard_normal(shape).astype(np.float32)
        (found,) = program(y)
        assert np.allclose(found, softmax(y.astype(np.float64)) if y.size else y, rtol=1e-5)
    assert {name for name, _, _ in program.launches} == {"kernel_0_0"}


def test_rows_are_read_once():
    """16 bytes at a time: one load and one store per chunk, whatever number of reductions is between them."""
    text = DeviceProgram(tw.jit(lambda x: tw.softmax(x)).trace(tw.spec((64, 4096))).lower(ARCH)).text
    loads, stores = text.count("ld.global.v4"), text.count("st.global.v4")
    assert loads == stores == 4096 // 4 // 256


def test_one_row_of_a_product_is_a_row():
    """What a row of weights and a vector sum up to: wide reads of the weights, no tile."""
    rng = fresh_rng()
    shapes = [(1, 512), (96, 512), (96,)]

    def fn(x, w, b):
        return tw.silu(x @ tw.transpose(w) + b)

    program = DeviceProgram(tw.jit(fn).trace(*(tw.spec(s, "bfloat16") for s in shapes)).lower(ARCH), 11)
    inputs = [rng.standard_normal(s).astype(tw.dtypes.by_name("bfloat16").numpy) for s in shapes]
    x, w, b = (each.astype(np.float64) for each in inputs)
    sums = x @ w.T + b
    assert np.allclose(
        program(*inputs)[0].astype(np.float64), sums / (1 + np.exp(-sums)), rtol=0.02, atol=0.1
    )
    assert len(program.launches) == 1 and "ld.global.v4" in program.text and "mma" not in program.text
