"""NVIDIA's own assembler, where the packages of the extra `ptxas` are installed."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


def tool(name: str) -> str | None:
    """Return the path of a program of the packages, such as "ptxas"; None without them."""
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob(f"cu*/bin/{name}")):
            return str(path)
    return None


needs_ptxas = pytest.mark.skipif(
    tool("ptxas") is None, reason="the package nvidia-cuda-nvcc is not installed"
)


@dataclass(frozen=True)
class Assembled:
    """What ptxas made of a module.

    Attributes:
        cubin: the file.
        spilled: bytes of all spills together.
        registers: of each kernel.
    """

    cubin: Path
    spilled: int
    registers: tuple[int, ...]


def assemble(text: str, arch: str, folder: Path) -> Assembled:
    """Assemble PTX; an error or a warning (instructions that are serialised or ignored) fails the test."""
    source = folder / "kernels.ptx"
    source.write_text(text)
    cubin = folder / "kernels.cubin"
    command = [str(tool("ptxas")), f"-arch={arch}", "-v", "-o", str(cubin), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    report = done.stdout + done.stderr
    assert done.returncode == 0, report
    assert "warning" not in report, report
    spills = [int(n) for n in re.findall(r"(\d+) bytes spill", report)]
    registers = tuple(int(n) for n in re.findall(r"Used (\d+) registers", report))
    assert spills and len(registers) == text.count(".entry"), report
    return Assembled(cubin, sum(spills), registers)


def machine_code(assembled: Assembled) -> list[str]:
    """Return the instructions of all kernels, as `HMMA.16816.F32.BF16`; skips the test without nvdisasm."""
    disassembler = tool("nvdisasm")
    if disassembler is None:
        pytest.skip("the package nvidia-cuda-nvdisasm is not installed")
    command = [disassembler, "-c", str(assembled.cubin)]
    text = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    return re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\d+\s+)?([A-Z][A-Za-z0-9_.]+)", text)
