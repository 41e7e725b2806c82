"""Random programs, stage by stage: every dump, read again and run by a second way, means what the program means.

The second way (`plain_path`) leaves out what optimises: a dump that is wrong stays wrong, and the first stage whose dump
is wrong names the row of the table that broke the program.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
import plain_path
import pytest
import tilewright as tw
from hypothesis import given, note, settings
from hypothesis import strategies as st
from planted import plant
from random_programs import SIZES, Judge, draw_inputs, program_of, programs
from tilewright import pipeline, stages
from tilewright.mlir import mlir


def dump(module):
    """Compile with a dump of every stage: their texts by name, and the manifest."""
    with tempfile.TemporaryDirectory() as folder:
        _, manifest = pipeline.compile(module, "cpu", pipeline.Options(dump=folder))
        texts = {path.stem.split("-", 1)[1]: path.read_text() for path in sorted(Path(folder).iterdir())}
    assert list(texts) == list(stages.NAMES)
    return texts, manifest


def parse(text):
    return mlir().ir.Module.parse(text, mlir().context)


def run(text, inputs, manifest):
    return plain_path.run(parse(text), inputs, manifest)


def trace(steps, m, n, dynamic):
    rows, columns = (tw.Dim("m"), tw.Dim("n")) if dynamic else (m, n)
    specs = [
        tw.spec((rows, columns), "float32"),
        tw.spec((rows, columns), "float32"),
        tw.spec((1, columns), "float32"),
    ]
    return tw.jit(program_of(steps)).trace(*specs)


@plain_path.needs_cc
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@settings(max_examples=10)
@given(steps=programs(), m=SIZES, n=SIZES, seed=st.integers(0, 2**32 - 1))
def test_every_dump_means_the_program(dynamic, steps, m, n, seed):
    traced = trace(steps, m, n, dynamic)
    note(traced.as_text())
    inputs = draw_inputs(seed, [(m, n), (m, n), (1, n)], "float32")
    judge = Judge(traced.module, inputs)
    texts, manifest = dump(traced.module)
    for stage, text in texts.items():
        judge.check(run(text, inputs, manifest), f"the dump of stage {stage}")


@given(steps=programs(), m=SIZES, n=SIZES, dynamic=st.booleans())
@settings(max_examples=10)
def test_every_stage_prints_what_parses_to_the_same(steps, m, n, dynamic):
    texts, _ = dump(trace(steps, m, n, dynamic).module)
    for stage, text in texts.items():
        module = parse(text)
        assert module.operation.verify() and pipeline.stage_of(module) == stage
        # The parser may order the terms of an affine expression another way, once.
        printed = module.operation.get_asm(enable_debug_info=True)
        assert parse(printed).operation.get_asm(enable_debug_info=True) == printed
        assert len(printed.splitlines()) == len(text.splitlines())


# ---- would a miscompilation be seen? ------------------------------------------------------------------


@pytest.fixture(scope="module")
def example():
    traced = trace((("tanh", 0, 0), ("add", 0, 2)), 17, 33, dynamic=True)
    inputs = draw_inputs(3, [(17, 33), (17, 33), (1, 33)], "float32")
    return Judge(traced.module, inputs), inputs, *dump(traced.module)


@plain_path.needs_cc
@pytest.mark.parametrize("stage", stages.NAMES)
def test_a_planted_fault_is_found_at_its_stage(example, stage):
    judge, inputs, texts, manifest = example
    judge.check(run(texts[stage], inputs, manifest))
    with pytest.raises(AssertionError, match=f"the dump of stage {stage}: error"):
        judge.check(run(plant(stage, texts[stage]), inputs, manifest), f"the dump of stage {stage}")


@plain_path.needs_cc
def test_a_row_that_is_skipped_is_found(example):
    """Not only arithmetic: a loop that leaves out its last tile."""
    judge, inputs, texts, manifest = example
    broken, count = re.subn(
        r"scf\.forall \(%(\w+)\) = \(0\) to \(", r"scf.forall (%\1) = (1) to (", texts["tiled"]
    )
    assert count
    with pytest.raises(AssertionError):
        judge.check(run(broken, inputs, manifest))


@plain_path.needs_cc
def test_packed_weights_mean_the_same(rng):
    """`@load` functions are run by the second way, too."""
    x, w = (rng.standard_normal(shape).astype(np.float32) for shape in ((5, 24), (24, 70)))
    traced = tw.jit(lambda x, w: tw.tanh(x @ w), weight_argnums=1).trace(x, w)
    texts, manifest = dump(traced.module)
    assert "tw.load" in texts["kernels"]
    judge = Judge(traced.module, [x, w])
    for stage in stages.NAMES[: stages.NAMES.index("buffers")]:
        judge.check(run(texts[stage], [x, w], manifest), stage)
