"""Random programs from a small grammar: the compiled program computes what the reference computes."""

from __future__ import annotations

import numpy as np
import pytest
import tilewright as tw
from hypothesis import given, note
from hypothesis import strategies as st
from random_programs import SIZES, Judge, draw_inputs, program_of, programs


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@given(steps=programs(), m=SIZES, n=SIZES, seed=st.integers(0, 2**32 - 1))
def test_compiled_equals_reference(dynamic, steps, m, n, seed):
    shapes = [(m, n), (m, n), (1, n)]
    dims = (tw.Dim("m"), tw.Dim("n")) if dynamic else (m, n)
    traced = tw.jit(program_of(steps)).trace(
        *(tw.spec(shape, "float32") for shape in ((dims[0], dims[1]), (dims[0], dims[1]), (1, dims[1])))
    )
    note(traced.as_text())
    inputs = draw_inputs(seed, shapes, "float32")
    Judge(traced.module, inputs).check(traced.lower("cpu").compile()(*inputs))


@given(steps=programs())
def test_text_and_bytecode_round_trip(steps):
    from tilewright.mlir import mlir
    from tilewright.programs import to_bytecode

    ir, context = mlir().ir, mlir().context
    m, n = tw.Dim("m"), tw.Dim("n")
    specs = tw.spec((m, n), "float32"), tw.spec((m, n), "float32"), tw.spec((1, n), "float32")
    traced = tw.jit(program_of(steps)).trace(*specs)
    text = traced.as_text()
    with context:
        again = ir.Module.parse(text)
        assert again.operation.verify()
        assert str(again) == str(ir.Module.parse(str(again)))
        binary = ir.Module.parse(to_bytecode(traced.module))
        assert str(binary) == str(again)
    inputs = draw_inputs(7, [(3, 5), (3, 5), (1, 5)], "float32")
    from tilewright.targets import base

    first, second = (base.find("interp").run(module, inputs) for module in (traced.module, again))
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b)


@given(steps=programs(), m=SIZES, n=SIZES)
def test_tracing_is_deterministic(steps, m, n):
    specs = [tw.spec(shape, "float32") for shape in ((m, n), (m, n), (1, n))]
    first, second = (tw.jit(program_of(steps)).trace(*specs).as_text() for _ in range(2))
    assert first == second
