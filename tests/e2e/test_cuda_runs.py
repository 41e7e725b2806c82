"""Target cuda: running totals along rows are shared by threads; run in the PTX interpreter in every warp order."""

from __future__ import annotations

import re

import numpy as np
import ptx
import pytest
import tilewright as tw
from cuda_device import DeviceProgram
from op_matrix import fresh_rng

ARCH = "cuda:sm_80"

#: A warp per row, with rows beyond the last; several warps, one turn and several; whole accesses and single elements.
SHAPES = [(3, 32), (9, 33), (2, 1000), (1, 4099)]


def compiled(fn, *specs, adversarial: int | None = None) -> DeviceProgram:
    """Compile for the interpreter."""
    return DeviceProgram(tw.jit(fn).trace(*specs).lower(ARCH), adversarial)


def is_shared(program: DeviceProgram) -> bool:
    """Whether threads add up what others have."""
    return "shfl.sync.up" in program.text


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int32", "uint8", "int64"])
def test_sums_of_rows(dtype, shape):
    """Integers are exact; floats are as near as any order of additions."""
    rng = fresh_rng()
    kind = tw.dtypes.by_name(dtype).numpy
    is_float = dtype in ("float32", "float64", "bfloat16")
    x = rng.standard_normal(shape) if is_float else rng.integers(0, 100, shape)
    x = x.astype(kind)
    program = compiled(
        lambda x: tw.cumsum(x, axis=-1), tw.spec(shape, dtype), adversarial=int(rng.integers(1 << 30))
    )
    (found,) = program(x)
    assert is_shared(program) and found.dtype == kind
    if not is_float:
        np.testing.assert_array_equal(found, np.cumsum(x, axis=-1, dtype=kind))
        return
    wide = x.astype(np.float64)
    sums, sizes = np.cumsum(wide, axis=-1), np.cumsum(np.abs(wide), axis=-1)
    step = 2.0**-8 * np.abs(sums) if dtype == "bfloat16" else 0  # rounded once, at the end
    unit = np.finfo(np.float64 if dtype == "float64" else np.float32).eps
    assert (np.abs(found.astype(np.float64) - sums) <= step + 20 * unit * sizes).all()
    program.adversarial = int(rng.integers(1 << 30))
    assert np.array_equal(program(x)[0], found), "the same bits in any order of warps"


@pytest.mark.parametrize(
    ("fn", "reference", "dtype", "shared"),
    [
        (lambda x: tw.cumsum(x, axis=0), lambda x: x.cumsum(0), "float32", False),
        (lambda x: tw.cumprod(x, axis=1), lambda x: x.cumprod(1), "float32", False),
        (lambda x: tw.cumprod(x, axis=1), lambda x: x.cumprod(1, dtype=np.int32), "int32", True),
        (lambda x: tw.cumsum(x[:, :8], axis=1), lambda x: x[:, :8].cumsum(1), "float32", False),
        (lambda x: tw.cumsum(tw.flip(x, axis=1), axis=1), lambda x: x[:, ::-1].cumsum(1), "float32", None),
        (lambda x: tw.cumsum(x[:, 1:40], axis=1), lambda x: x[:, 1:40].cumsum(1), "float32", None),
    ],
    ids=["columns", "product of floats", "product of integers", "short", "backwards", "window"],
)
def test_what_is_shared(fn, reference, dtype, shared):
    """Products of neighbours may overflow where the running product does not: a thread keeps that order."""
    rng = fresh_rng()
    x = (rng.integers(-2, 3, (5, 70)) if dtype == "int32" else 1 + rng.standard_normal((5, 70)) / 8).astype(
        dtype
    )
    program = compiled(fn, tw.spec(x.shape, dtype), adversarial=1)
    np.testing.assert_allclose(program(x)[0], reference(x), rtol=2e-5, atol=1e-5)
    assert shared is None or is_shared(program) == shared


def test_infinities_and_nans_stay_behind():
    """What comes later changes nothing before it."""
    x = np.ones((2, 300), np.float32)
    x[0, 150], x[1, 7], x[1, 299] = np.nan, np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        (found,) = compiled(lambda x: tw.cumsum(x, axis=1), tw.spec(x.shape))(x)
        np.testing.assert_array_equal(found, x.cumsum(axis=1))


def test_lengths_known_at_run_time():
    rng = fresh_rng()
    n, m = tw.Dim("n", min=0, max=100), tw.Dim("m", min=0, max=2000)
    program = compiled(lambda x: tw.cumsum(x, axis=1), tw.spec((n, m)), adversarial=5)
    assert is_shared(program)
    for shape in [(2, 1), (1, 700), (3, 0), (0, 5), (9, 129)]:
        x = rng.standard_normal(shape).astype(np.float32)
        np.testing.assert_allclose(program(x)[0], x.cumsum(axis=1), rtol=1e-4, atol=1e-4)


FAULTS = {
    "no barrier": (r"bar\.sync\s+0;", ""),
    "one piece of memory": (r"sub\.s64(\s+%rd\d+), 32, %rd\d+;", r"mov.b64\1, 0;"),
    "a step too few": (r"(shfl\.sync\.up\.b32\s+%r\d+, %r\d+,) 16,", r"\1 0,"),
    "the total of another warp": (r"(shfl\.sync\.idx\.b32\s+%r\d+, %r\d+,) 31,", r"\1 30,"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults(name):
    """Each ends in an error of the interpreter or in other results."""
    x = fresh_rng().standard_normal((1, 9000)).astype(np.float32)
    program = compiled(lambda x: tw.cumsum(x, axis=1), tw.spec(x.shape))
    good = program(x)[0]
    changed, count = re.subn(*FAULTS[name], program.text, count=1)
    assert count == 1, program.text
    program.module = ptx.load(changed)
    for seed in range(3):
        program.adversarial = seed
        try:
            if not np.array_equal(program(x)[0], good):
                return
        except ptx.PtxFault:
            return
    pytest.fail("was not caught")
