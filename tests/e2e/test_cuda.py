"""Target cuda without a GPU: programs of the op matrix as PTX, run in the interpreter against NumPy in float64.

What the interpreter cannot see (rates, real memory timing, what `ptxas` makes of the code) is not tested here.
"""

from __future__ import annotations

import numpy as np
import pytest
import tilewright as tw
from cases_elementwise import CASES as ELEMENTWISE
from cases_tensor import CASES as TENSORS
from cuda_device import CallFailed, DeviceProgram
from op_case import Case
from op_matrix import fresh_rng, judge, specs_of
from tilewright import errors
from tilewright.models.language_model import LanguageModel
from tiny_llama import TinyLlama, write

ARCH = "cuda:sm_80"
#: Families that a case runs with: the interpreter is slow, so few, but odd ones.
SIZES = 2


def rows() -> list:
    """Every case that has small sizes with one of its dtypes, another one for each neighbour."""
    cases = [case for case in [*ELEMENTWISE, *TENSORS] if small(case, 0)]
    return [
        pytest.param(
            case, case.dtypes[i % len(case.dtypes)], i, id=f"{case.id}-{case.dtypes[i % len(case.dtypes)]}"
        )
        for i, case in enumerate(cases)
    ]


def small(case: Case, start: int) -> list[dict[str, int]]:
    """Some of a case's sizes; products of large ones are left to the tests below."""
    found = [
        sizes for sizes in case.families() if np.prod([max(s, 1) for s in sizes.values()] or [1]) <= 5000
    ]
    return [found[(start + i) % len(found)] for i in range(min(SIZES, len(found)))]


@pytest.mark.parametrize(("case", "dtype", "number"), rows())
def test_op_matrix(case, dtype, number):
    rng = fresh_rng()
    sizes = small(case, number)
    traced = tw.jit(case.run).trace(*specs_of(case, dtype, None if number % 2 else sizes[0]))
    program = DeviceProgram(traced.lower(ARCH))
    for each in sizes if number % 2 else sizes[:1]:
        judge(case, dtype, lambda *x: program(*x)[0], ARCH, each, rng)


def device(fn, *specs, target: str = ARCH, adversarial: int | None = None) -> DeviceProgram:
    """Compile for the interpreter."""
    return DeviceProgram(tw.jit(fn).trace(*specs).lower(target), adversarial)


PRODUCTS = [
    (32, 16, 32), (64, 64, 64), (65, 63, 17), (1, 129, 40), (100, 7, 33), (128, 128, 48)
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("shape", PRODUCTS, ids=str)
def test_products_with_epilogue(dtype, shape):
    """mma.sync and fused multiply-add, sizes at, below and above a tile, in every warp order."""
    m, n, k = shape
    rng = fresh_rng()
    program = device(
        lambda a, b, c: tw.maximum(a @ b + c, 0), tw.spec((m, k), dtype), tw.spec((k, n), dtype), tw.spec((n,), dtype),
        adversarial=int(rng.integers(1 << 30)),
    )  # fmt: skip
    a, b, c = (rng.standard_normal(s).astype(tw.dtypes.by_name(dtype).numpy) for s in ((m, k), (k, n), (n,)))
    wide = [x.astype(np.float64) for x in (a, b, c)]
    expected = np.maximum(wide[0] @ wide[1] + wide[2], 0)
    scale = np.abs(wide[0]) @ np.abs(wide[1]) + np.abs(wide[2])
    step = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24}[dtype]
    (found,) = program(a, b, c)
    assert np.all(np.abs(found.astype(np.float64) - expected) <= (4 * step + (k + 4) * 2.0**-24) * scale)
    if m > 4:  # a row alone is no tile
        assert len(program.launches) == 1, "the epilogue is part of the product's kernel"
        assert ("mma.sync" in program.text) == (dtype != "float32")


def test_wide_accesses():
    """Whole rows of 16 bytes are read and written at once; odd ones element by element."""
    text = device(lambda x: x * 2 + 1, tw.spec((8, 64))).text
    assert "ld.global.v4" in text and "st.global.v4" in text
    assert "v4" not in device(lambda x: x * 2 + 1, tw.spec((8, 63))).text


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64", "int8"])
def test_transposes_go_through_shared_memory(dtype):
    """Read and written along rows; whole squares, broken ones, a batch, another operand that lies along the result."""
    rng = fresh_rng()
    for shape in ((64, 32), (33, 70), (2, 40, 17)):
        turned = (*shape[:-2], shape[-1], shape[-2])
        program = device(
            lambda x, y: tw.transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)) + y,
            tw.spec(shape, dtype), tw.spec(turned, dtype), adversarial=int(rng.integers(1 << 30)),
        )  # fmt: skip
        kind = tw.dtypes.by_name(dtype).numpy
        x, y = (rng.integers(-40, 40, s).astype(kind) for s in (shape, turned))
        (found,) = program(x, y)
        assert np.array_equal(found, np.swapaxes(x, -1, -2) + y)
        assert len(program.launches) == 1 and "st.shared" in program.text
    text = device(lambda x: tw.transpose(x), tw.spec((64, 8), dtype)).text
    assert "st.shared" not in text, "most of a square would be empty"


def test_tiles_are_numbered_in_groups():
    """More rows of tiles than a group has, and a last group that is not full."""
    rng = fresh_rng()
    program = device(
        lambda a, b: a @ b, tw.spec((64 * 10 - 3, 16), "bfloat16"), tw.spec((16, 136), "bfloat16")
    )
    a, b = (
        rng.standard_normal(s).astype(tw.dtypes.by_name("bfloat16").numpy) for s in ((637, 16), (16, 136))
    )
    expected = a.astype(np.float64) @ b.astype(np.float64)
    assert np.allclose(program(a, b)[0].astype(np.float64), expected, rtol=0.01, atol=0.05)


def test_maxima_are_single_instructions():
    text = device(lambda x: tw.max(x, axis=1), tw.spec((8, 64))).text
    assert "max.NaN.f32" in text


def test_reductions_share_by_shuffles():
    rng = fresh_rng()
    for width in (40, 600, 5000):
        program = device(
            lambda x: tw.sum(x, axis=1), tw.spec((3, width)), adversarial=int(rng.integers(1 << 30))
        )
        assert "shfl.sync" in program.text and "atom" not in program.text
        x = rng.standard_normal((3, width)).astype(np.float32)
        (found,) = program(x)
        assert np.allclose(found, x.sum(axis=1, dtype=np.float64), atol=1e-5 * width)
        assert np.array_equal(found, program(x)[0]), "the same bits in any order of warps"


def test_loads_at_constant_places():
    """What a gather reads is indexed by values from outside of the formula, too."""
    x = np.arange(2, dtype=np.uint16).reshape(1, 1, 2)
    assert np.array_equal(device(lambda x: tw.flip(x, axis=(0, 1)), tw.spec((1, 1, 2), "uint16"))(x)[0], x)


def test_index_checks_reach_the_host():
    program = device(
        lambda x, i: tw.take(x, i, axis=0, mode="raise"), tw.spec((5, 4)), tw.spec((3,), "int64")
    )
    x = np.arange(20, dtype=np.float32).reshape(5, 4)
    assert np.array_equal(program(x, np.array([4, -1, 0]))[0], x[[4, -1, 0]])
    with pytest.raises(CallFailed):
        program(x, np.array([0, 5, 1]))


def test_host_decides_by_device_values():
    def countdown(n):
        return tw.while_loop(lambda c: c[0] > 0, lambda c: (c[0] - 1, c[1] + c[0]), (n, n - n))[1]

    program = device(countdown, tw.spec((), "int64"))
    assert program(np.int64(10))[0] == 55


@pytest.fixture
def without_gpu(request):
    """Be a machine without a GPU, which `--gpu` changes."""
    if request.config.getoption("--gpu"):
        pytest.skip("says what there is without a GPU")


def test_targets_by_name(without_gpu):
    from tilewright.targets import base

    assert base.find("cuda").arch == "sm_80"
    assert base.find("cuda:sm_90a").features == "+ptx80"
    assert base.find("cuda:0").device == 0
    for wrong in ("cuda:sm_1", "cuda:x", "cpu:fast"):
        with pytest.raises(errors.ArgumentError):
            base.find(wrong)


@pytest.mark.parametrize("weights", ["f16", "q4_0"])
def test_language_model_compiles(weights, tmp_path):
    """A step of a Llama, down to PTX and the object of its host function, whose launches name its kernels."""
    model = LanguageModel(write(tmp_path / "tiny.gguf", TinyLlama(layers=1, format=weights)), target=ARCH)
    program = DeviceProgram(model.lowered()["decode"])
    names = program.manifest["device"]["kernels"]
    assert len(names) == program.text.count(".entry") == len(set(names)) > 20
    assert set(program.module.kernels) == set(names)


@pytest.mark.parametrize("target", ["cuda:sm_80", "cuda:sm_90a"])
def test_text_of_the_stages(target):
    lowered = tw.jit(lambda x: tw.softmax(x), target=target).lower(tw.spec((4, 32)))
    text = lowered.as_text("object")
    assert f".target {target.removeprefix('cuda:')}" in text and ".entry kernel_0_" in text
    assert "rt.launch_kernel" in lowered.as_text("target")
    assert "gpu.module @device" in lowered.as_text("llvm")


def test_calls_without_a_device(without_gpu):
    double = tw.jit(lambda x: x + x, target=ARCH)
    with pytest.raises(errors.DeviceError, match="compiled for a GPU"):
        double(np.ones(4, np.float32))
