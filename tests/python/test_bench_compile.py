"""`tilewright bench-compile`: every stage and pass is timed, whatever the program comes from. No time is judged here."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tilewright as tw
from tilewright import pipeline, stages
from tilewright.cli.main import main


def test_two_operations_by_default(capsys):
    assert main(["bench-compile", "--json", "--repeat", "1"]) == 0
    result = json.loads(capsys.readouterr().out)
    (program,) = result["programs"]
    steps = [*stages.NAMES[1:], "object"]
    assert list(program["cold"]) == steps and list(program["warm"]) == steps
    assert result["library_load"] >= 0 and program["object_bytes"] > 0 and program["kernels"] == 1
    assert program["passes"] == []


def test_passes_of_a_dump(tmp_path, capsys):
    vector = tw.spec((8,), "float32")
    text = tw.jit(lambda x: x + x).lower(vector).as_text("kernels")
    file = tmp_path / "kernels.mlir"
    file.write_text(text)
    assert main(["bench-compile", str(file), "--passes", "--repeat", "1"]) == 0
    out = capsys.readouterr().out
    for step in (
        "tw-vectorize",
        "tw-cpu-to-llvm",
        "LLVM: translate",
        "LLVM: optimise",
        "LLVM: codegen",
        "total",
    ):
        assert step in out
    assert "tw-normalize" not in out  # the dump has that behind it


def test_a_script_and_its_arguments(tmp_path, capsys):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, numpy as np, tilewright as tw\n"
        "n = int(sys.argv[1])\n"
        "tw.jit(lambda x: x * 2)(np.zeros(n, 'f'))\n"
        "tw.jit(lambda x: x @ x)(np.zeros((n, n), 'f'))\n"
    )
    assert main(["bench-compile", str(script), "4", "--repeat", "1"]) == 0
    assert "all programs" in capsys.readouterr().out


def test_a_language_model(tmp_path, capsys):
    pytest.importorskip("gguf")
    from tiny_llama import TinyLlama, write

    path = tmp_path / "tiny.gguf"
    write(path, TinyLlama())
    assert main(["bench-compile", str(path), "--repeat", "1"]) == 0
    out = capsys.readouterr().out
    assert "prefill: " in out and "decode: " in out


@pytest.mark.parametrize("arguments", [["--repeat", "0"], ["missing.mlir"]])
def test_mistakes_are_one_line(arguments, capsys):
    assert main(["bench-compile", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_timing_passes_changes_no_code():
    function = tw.jit(lambda x: tw.softmax(x) + 1)
    module = function.trace(np.zeros((4, 8), "f")).module
    report = pipeline.Report()
    plain, _ = pipeline.compile(module)
    timed, _ = pipeline.compile(module, options=pipeline.Options(time_passes=True), report=report)
    assert timed == plain
    timed_passes = {(stage, text) for stage, text, _ in report.passes}
    assert timed_passes >= {(s.name, p.pipeline) for s in stages.STAGES for p in s.passes}


def test_equal_programs_give_equal_objects():
    function = tw.jit(lambda a, b: tw.gelu(a @ b).sum(axis=0))
    module = function.trace(tw.spec((64, 96), "float32"), tw.spec((96, 80), "float32")).module
    assert len({pipeline.compile(module)[0] for _ in range(3)}) == 1
