"""Run a case of the op matrix on the targets, static and dynamic."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tilewright as tw
from op_case import Case, In, widen
from tilewright import dtypes
from tolerance import assert_close

#: A developer of one target may run its half alone: TEST_TARGETS=interp pytest tests/e2e
TARGETS = tuple(os.environ.get("TEST_TARGETS", "interp,cpu").split(","))


def fresh_rng() -> np.random.Generator:
    """A generator whose seed is new and printed: a failing test shows how to see it again."""
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def specs_of(case: Case, dtype: str, sizes: dict[str, int] | None) -> list:
    """Specs of the inputs: static with ``sizes``, dynamic (one Dim per letter) without."""
    if sizes is None:
        families = case.families()
        dims = {x: tw.Dim(x, min=min(family[x] for family in families)) for x in case.letters}
    else:
        dims = sizes

    def shape(each: In):
        return tuple(int(d) if d.isdigit() else dims[d] for d in each.dims.split())

    return [tw.spec(shape(each), each.dtype or dtype) for each in case.inputs]


def parameters(cases: list[Case]) -> list:
    """(case, dtype) pairs as pytest parameters."""
    return [
        pytest.param(case, dtype, id=f"{case.id}-{dtype}".replace(" ", "-"))
        for case in cases
        for dtype in case.dtypes
    ]


def _magnitude(case: Case, inputs: list[np.ndarray], reference: np.ndarray):
    if case.magnitude:
        return case.expect(*(np.abs(x) if x.dtype.kind == "f" else x for x in inputs))
    return case.scale


def judge(
    case: Case, dtype: str, program, target: str, sizes: dict[str, int], rng: np.random.Generator
) -> None:
    """Call a compiled program on fresh inputs of these sizes and compare with NumPy in float64."""
    inputs = [each.draw(rng, sizes, dtype) for each in case.inputs]
    wide = [widen(x) for x in inputs]
    with np.errstate(all="ignore"):
        reference = np.asarray(case.expect(*wide))
        magnitude = _magnitude(case, wide, reference) if reference.dtype.kind == "f" else None
    actual = np.asarray(program(*inputs))
    kind = dtypes.of(actual)
    if kind.is_float:
        reference = reference.astype(np.float64)
    what = f"{case.id} {dtype} on {target} with {sizes}"
    assert_close(
        actual,
        reference,
        kind if kind.is_float else reference.dtype,
        case.length(sizes),
        magnitude,
        what,
        case.rounded,
    )


def run_dynamic(case: Case, dtype: str) -> None:
    """Compile once per target and run every family of sizes."""
    rng = fresh_rng()
    traced = tw.jit(case.run).trace(*specs_of(case, dtype, None))
    for target in TARGETS:
        program = traced.lower(target).compile()
        for sizes in case.families():
            judge(case, dtype, program, target, sizes, rng)


def run_static(case: Case, dtype: str, sizes: dict[str, int]) -> None:
    """Compile for these sizes and run."""
    rng = fresh_rng()
    traced = tw.jit(case.run).trace(*specs_of(case, dtype, sizes))
    for target in TARGETS:
        judge(case, dtype, traced.lower(target).compile(), target, sizes, rng)
