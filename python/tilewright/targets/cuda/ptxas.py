"""NVIDIA's assembler, where there is one: machine code at compile time, and what it says about our code.

Without it the driver compiles PTX when a program is loaded, which takes longer, once per process or driver's cache.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ... import config, errors

__all__ = ["Assembler", "Report", "find"]

#: Advisories that mean that instructions do less than they say: wgmma serialised, setmaxnreg ignored.
SERIOUS = ("C7504", "C7508", "C7510", "C7514", "C7517")
_TIMEOUT = 120


@dataclass(frozen=True)
class Report:
    """What the assembler made of PTX.

    Attributes:
        image: machine code, or None if it refused.
        text: all that it said.
    """

    image: bytes | None
    text: str

    @property
    def serious(self) -> list[str]:
        """Lines that mean serialised or ignored instructions."""
        return [line.strip() for line in self.text.splitlines() if any(code in line for code in SERIOUS)]

    @property
    def spilled(self) -> int:
        """Bytes of registers that went to memory, of all kernels."""
        return sum(int(n) for n in re.findall(r"(\d+) bytes spill", self.text))


@dataclass(frozen=True)
class Assembler:
    """One `ptxas`.

    Attributes:
        path: the program.
        version: its release, for keys of what it made.
    """

    path: str
    version: str

    def run(self, text: str, arch: str) -> Report:
        """Assemble PTX for an architecture, such as sm_90a."""
        with tempfile.TemporaryDirectory(prefix="tilewright-ptxas-") as folder:
            source, target = Path(folder, "kernels.ptx"), Path(folder, "kernels.cubin")
            source.write_text(text, encoding="utf-8")
            command = [self.path, f"-arch={arch}", "-v", "-o", str(target), str(source)]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
            except (OSError, subprocess.TimeoutExpired) as problem:
                return Report(None, str(problem))
            image = target.read_bytes() if done.returncode == 0 and target.exists() else None
            return Report(image, done.stdout + done.stderr)

    def assemble(self, text: str, arch: str) -> bytes | None:
        """Return machine code, or None if this assembler refuses; warns where instructions lose their point."""
        report = self.run(text, arch)
        for line in report.serious:
            errors.warn(UserWarning, f"ptxas: {line}")
        if report.image is None:
            first = next(iter(report.text.strip().splitlines()), "no reason given")
            errors.warn(
                UserWarning, f"ptxas ({self.path}) refuses the code, so the driver compiles it: {first}"
            )
        return report.image


def find() -> Assembler | None:
    """Return the assembler: the configured one, or that of PATH, CUDA_HOME or the package `nvidia-cuda-nvcc`.

    Raises:
        ArgumentError: the configured one is not there, or does not run.
    """
    settings = config.current()
    return _find(settings.ptxas, settings.cuda_home)


@functools.cache
def _find(named: str | None, home: Path | None) -> Assembler | None:
    if named == "0":
        return None
    candidates = (
        [shutil.which(named)]
        if named
        else [shutil.which("ptxas"), home and str(home / "bin" / "ptxas"), *_packaged()]
    )
    for path in candidates:
        if path and Path(path).exists():
            try:
                said = subprocess.run(
                    [path, "--version"], capture_output=True, text=True, timeout=_TIMEOUT, check=False
                )
            except (OSError, subprocess.TimeoutExpired):
                continue
            release = re.search(r"V(\d+\.\d+\.\d+)", said.stdout)
            return Assembler(path, release[1] if release else said.stdout.strip()[-40:])
    if named:
        errors.fail(
            errors.ArgumentError,
            f"TILEWRIGHT_PTXAS: {named!r} is no program that runs",
            help="name NVIDIA's assembler, or 0 to leave PTX to the driver; unset, it is searched for.",
        )
    return None


def _packaged() -> list[str]:
    spec = importlib.util.find_spec("nvidia")
    folders = (spec.submodule_search_locations or ()) if spec else ()
    return [str(path) for folder in folders for path in sorted(Path(folder).glob("cu*/bin/ptxas"))]
