"""The roofline tool: probes run, kernels are taken out and timed, results are shown. No time is judged here."""

import subprocess
import sys

import numpy as np
import pytest
import tilewright as tw
from tilewright import errors
from tilewright.cli import main
from tilewright.roofline import calls, ceilings, chart, kernels
from tilewright.roofline.ceilings import Ceilings
from tilewright.roofline.kernels import Measured

ROOFS = Ceilings(2, {"f32": 1e11}, {"l2": 1e11, "dram": 1e10})


@pytest.fixture(scope="module")
def measured_ceilings():
    return ceilings.measure(1)


def test_ceilings_are_in_order(measured_ceilings):
    found = measured_ceilings
    assert found.threads == 1
    assert {"f32"} <= set(found.flops) <= {"f32", "bf16", "int8"}
    assert {"l2", "dram"} <= set(found.read) <= {"l2", "l3", "dram"}
    # A vector instruction a cycle, and memory that answers at all: no machine is below these.
    assert found.flops["f32"] > 1e9 and min(found.read.values()) > 1e8
    assert "GFLOP/s f32" in found.describe() and "from dram" in found.describe()


def test_least_time_is_the_slower_of_both_roofs():
    assert ROOFS.least_s(1e11, 1e9) == pytest.approx(1.0)
    assert ROOFS.least_s(1e9, 1e10) == pytest.approx(1.0)
    assert ROOFS.least_s(1, 1, dtype="bf16") is None


def test_kernels_of_a_program_are_timed_alone():
    function = tw.jit(lambda w, x: tw.nn.softmax(tw.nn.gelu(x @ w)), weight_argnums=0)
    lowered = function.lower(tw.spec((64, 96), "float32"), tw.spec((32, 64), "float32"))
    found = kernels.measure(lowered.program.module, "cpu")
    assert found
    assert all(k.calls == 1 and k.hot_s and k.cold_s and k.reason is None for k in found)
    assert sum(k.flops or 0 for k in found) >= 2 * 32 * 64 * 96
    # The packing of the weight happens at load: it is no part of a run.
    assert {k.name for k in found} < {k["name"] for k in lowered.compile().executable.manifest["kernels"]}


def test_kernels_called_twice_count_twice():
    def function(x):
        for _ in range(2):
            x = tw.nn.softmax(x @ x)
        return x

    lowered = tw.jit(function).lower(tw.spec((32, 32), "float32"))
    found = kernels.measure(lowered.program.module, "cpu")
    assert sum(k.calls for k in found) > len(found)


def test_dynamic_sizes_are_named_as_the_reason():
    lowered = tw.jit(lambda x: tw.exp(x)).lower(tw.spec((None, 4), "float32"))
    (kernel,) = kernels.measure(lowered.program.module, "cpu")
    assert kernel.hot_s is None and kernel.reason == "its sizes are known at run time only"
    assert kernel.share_of_roof(ROOFS) is None
    assert "run time only" in chart.table([kernel], ROOFS)


def test_open_sizes_are_those_of_most_calls():
    def run():
        function = tw.jit(lambda x: tw.nn.softmax(x @ x.T), dynamic=True)
        for rows in (3, 7, 7, 9):
            function(np.ones((rows, 5), np.float32))
        return [function]

    functions = calls.counted(run)
    ((title, lowered),) = calls.programs(functions)
    assert "= 7" in title
    assert functions[0].variants() == []
    found = kernels.measure(lowered.program.module, "cpu")
    assert found and all(k.hot_s and k.share_of_roof(ROOFS) and k.reason is None for k in found)


def test_open_sizes_that_nobody_counted_stay_open():
    function = tw.jit(lambda x: tw.exp(x), dynamic=True)
    function(np.ones((3, 4), np.float32))
    ((title, lowered),) = calls.programs([function])
    (kernel,) = kernels.measure(lowered.program.module, "cpu")
    assert "=" not in title and kernel.hot_s is None


def test_narrow_products_have_a_roof_of_their_own():
    lowered = tw.jit(lambda a, b: a @ b).lower(tw.spec((8, 8), "bfloat16"), tw.spec((8, 8), "bfloat16"))
    assert "bf16" in {k.dtype for k in kernels.measure(lowered.program.module, "cpu")}


SOME = [
    Measured("kernel_0", 2, ("a.py:3",), 10**6, 10**5, "f32", 1e-5, 2e-5),
    Measured("kernel_1", 1, (), 0, 10**5, "f32", 1e-5, 2e-5),
]


def test_table():
    text = chart.table(SOME, ROOFS)
    assert "67%" in text  # kernel_0's share of 60 us
    assert "50 GFLOP/s" not in text and "a.py:3" in text
    assert "50%" in text  # 1e6 / 1e11 s and 1e5 / 1e10 s are both 10 of 20 us


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_plot(tmp_path, kind):
    pytest.importorskip("matplotlib")
    path = tmp_path / "new" / f"roofline.{kind}"
    chart.plot(SOME, ROOFS, str(path), "a program")
    assert path.stat().st_size > 1000


def test_plot_without_matplotlib(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(errors.ArgumentError, match="needs matplotlib"):
        chart.plot(SOME, ROOFS, str(tmp_path / "x.svg"), "a program")


@pytest.mark.parametrize(("arguments", "phrase"), [([], "give a PROGRAM"), (["x.gguf"], "needs matplotlib")])
def test_plot_is_refused_before_anything_is_measured(monkeypatch, capsys, arguments, phrase):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["roofline", "--plot", "x.svg", *arguments]) != 0
    assert phrase in capsys.readouterr().err


def test_command_line(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np, tilewright as tw\n"
        "f = tw.jit(lambda x: tw.exp(x) + 1)\n"
        "print(f(np.zeros((4, 4), 'f'))[0, 0])\n"
    )
    command = "import sys; from tilewright.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", command, "roofline", "--threads", "1", str(script)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2.0" in done.stdout and "kernel_0" in done.stdout and "script.py:2" in done.stdout


def test_command_line_of_a_model(tiny_gguf, capsys):
    assert main(["roofline", str(tiny_gguf), "--end", "8"]) == 0
    assert "1 token(s) up to position 8" in capsys.readouterr().out


def test_command_line_of_a_dump(tmp_path, capsys):
    dump = tmp_path / "x.mlir"
    dump.write_text(tw.jit(lambda x: x * 2).lower(tw.spec((4,), "float32")).as_text("linalg"))
    assert main(["roofline", str(dump)]) == 0
    assert "kernel_0" in capsys.readouterr().out


def test_tokens_that_do_not_fit_are_refused(tiny_gguf, capsys):
    assert main(["roofline", str(tiny_gguf), "--tokens", "3", "--end", "2"]) == 2
    assert "do not fit" in capsys.readouterr().err


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory):
    pytest.importorskip("gguf")
    from tiny_llama import TinyLlama, write

    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write(path, TinyLlama())
    return path


def test_ceilings_alone(capsys, monkeypatch):
    monkeypatch.setattr(ceilings, "measure", lambda threads: ROOFS)
    assert main(["roofline"]) == 0
    assert "100 GFLOP/s f32" in capsys.readouterr().out
