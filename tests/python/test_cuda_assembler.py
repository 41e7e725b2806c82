"""Machine code for GPUs: who assembles it, where it is kept, what is reported; with an imaginary assembler."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tilewright as tw
from tilewright.runtime import devices
from tilewright.targets.cuda import ptxas

#: "Machine code" that the fake driver takes is PTX behind a line that names the architecture.
SCRIPT = """#!{python}
import sys
if "--version" in sys.argv:
    print("ptxas: imaginary\\nCuda compilation tools, release 13.0, V13.0.1")
    sys.exit()
with open({log!r}, "a") as log:
    log.write("run\\n")
sys.stderr.write({said!r})
arch = next(a for a in sys.argv if a.startswith("-arch=")).removeprefix("-arch=")
target, source = sys.argv[sys.argv.index("-o") + 1 :]
with open(target, "w") as file:
    file.write("FAKECUBIN " + arch + "\\n" + open(source).read())
sys.exit({status})
"""


class Imaginary:
    """An assembler in a folder of its own."""

    def __init__(self, folder: Path, said: str = "", status: int = 0) -> None:
        self.path, self.log = folder / "bin" / "ptxas", folder / "log"
        self.path.parent.mkdir(parents=True)
        text = SCRIPT.format(python=sys.executable, log=str(self.log), said=said, status=status)
        self.path.write_text(text)
        self.path.chmod(0o755)
        self.log.touch()

    @property
    def runs(self) -> int:
        return len(self.log.read_text().split())


@pytest.fixture
def loads(fake_gpu, monkeypatch):
    """Return a function that calls a new `x * 3` and says what the driver loaded."""
    monkeypatch.setattr(devices, "_has_cupy", lambda: False)

    def call(**options):
        fake_gpu.log()
        fn = tw.jit(lambda x: x * 3, **{"target": "cuda:0", **options})
        assert fn(np.ones(4, np.float32)).tolist() == [3.0] * 4
        return [line for line in fake_gpu.log() if line.startswith("load")]

    return call


def test_machine_code_is_kept_with_the_program(tmp_path, loads):
    assembler = Imaginary(tmp_path / "kit")
    with tw.config.override(ptxas=str(assembler.path), cache=True, cache_dir=tmp_path / "cache"):
        assert loads() == ["load image"] and assembler.runs == 1
        assert loads() == ["load image"] and assembler.runs == 1
    with tw.config.override(ptxas="0", cache=True, cache_dir=tmp_path / "cache"):
        assert loads() == ["load text"]  # without it, the program is another entry


def test_machine_code_of_another_device(tmp_path, loads):
    """A program for an architecture that this GPU is not: the driver compiles its text."""
    assembler = Imaginary(tmp_path / "kit")
    with tw.config.override(ptxas=str(assembler.path), cache=False):
        assert loads(target="cuda:sm_80") == ["load image"]
    assembler.path.write_text(assembler.path.read_text().replace('"FAKECUBIN "', '"FAKECUBIN sm_86 "'))
    with tw.config.override(ptxas=str(assembler.path), cache=False):
        assert loads() == ["load text"]


def test_saved_programs_carry_it(tmp_path, fake_gpu, monkeypatch):
    monkeypatch.setattr(devices, "_has_cupy", lambda: False)
    assembler = Imaginary(tmp_path / "kit")
    with tw.config.override(ptxas=str(assembler.path), cache=False):
        compiled = tw.jit(lambda x: x + 1, target="cuda").compile(tw.spec((4,)))
    compiled.save(tmp_path / "program.tw")
    fake_gpu.log()
    assert tw.load(tmp_path / "program.tw")(np.ones(4, np.float32)).tolist() == [2.0] * 4
    assert "load image" in fake_gpu.log()


def test_nobody_assembles_without_a_gpu(tmp_path, loads):
    assembler = Imaginary(tmp_path / "kit")
    from tilewright import _runtime

    _runtime.set_cuda_driver("libno-such-driver.so")
    with tw.config.override(ptxas=str(assembler.path), cache=False):
        assert tw.jit(lambda x: x + 1, target="cuda").compile(tw.spec((4,))).executable.device_image is None
    assert assembler.runs == 0


@pytest.mark.parametrize("code", ptxas.SERIOUS)
def test_what_loses_its_point_is_reported(code, tmp_path, loads):
    said = f"ptxas info    : (%s) Potential Performance Loss: wgmma.mma_async instructions are serialized ({code})\n"
    assembler = Imaginary(tmp_path / "kit", said)
    with (
        tw.config.override(ptxas=str(assembler.path), cache=False),
        pytest.warns(UserWarning, match=f"serialized .{code}"),
    ):
        assert loads() == ["load image"]


def test_assembler_that_refuses(tmp_path, loads):
    assembler = Imaginary(tmp_path / "kit", "ptxas fatal: no\n", status=1)
    with (
        tw.config.override(ptxas=str(assembler.path), cache=False),
        pytest.warns(UserWarning, match=r"refuses the code, so the driver compiles it: ptxas fatal: no"),
    ):
        assert loads() == ["load text"]


def test_where_it_is_looked_for(tmp_path, monkeypatch):
    one, two = Imaginary(tmp_path / "one"), Imaginary(tmp_path / "two")
    ptxas._find.cache_clear()
    monkeypatch.setenv("PATH", str(one.path.parent))
    found = ptxas._find(None, two.path.parent.parent)
    assert found is not None and found.path == str(one.path) and found.version == "13.0.1"
    monkeypatch.setenv("PATH", str(tmp_path))
    ptxas._find.cache_clear()
    found = ptxas._find(None, two.path.parent.parent)
    assert found is not None and found.path == str(two.path)
    packaged = ptxas._find(None, tmp_path)
    assert packaged is None or "nvidia" in packaged.path
    assert ptxas._find("0", two.path.parent.parent) is None
    ptxas._find.cache_clear()


def test_report_of_an_assembler():
    text = "ptxas info : Used 40 registers\n    8 bytes stack frame, 12 bytes spill stores, 4 bytes spill loads\n"
    report = ptxas.Report(b"", text + "ptxas warning: 'setmaxnreg' ignored (C7508)\n")
    assert report.spilled == 16 and report.serious == ["ptxas warning: 'setmaxnreg' ignored (C7508)"]


def test_an_assembler_that_is_not_there(tmp_path, loads):
    """What was asked for is not left out in silence, nor replaced by another one."""
    plain = tmp_path / "text"
    plain.write_text("no program")
    for named in (str(tmp_path / "nowhere" / "ptxas"), str(plain)):
        with tw.config.override(ptxas=named, cache=False):
            with pytest.raises(
                tw.errors.ArgumentError, match=r"TILEWRIGHT_PTXAS: '.*' is no program that runs"
            ):
                loads()
