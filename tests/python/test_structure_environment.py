"""What importing and running Tilewright asks of the machine: little time, no compiler, no toolchain."""

import os
import subprocess
import sys
import textwrap

import pytest

IMPORT_BUDGET_S = 0.150


def run(code: str, **environment: str) -> str:
    """Run `code` in a fresh interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.alone
def test_import_is_cheap():
    code = """
        import time, numpy
        start = time.perf_counter()
        import tilewright
        print(time.perf_counter() - start)
    """
    assert min(float(run(code)) for _ in range(5)) < IMPORT_BUDGET_S


def test_import_maps_no_compiler():
    code = """
        import tilewright as tw
        maps = open("/proc/self/maps").read()
        print([name for name in ("libTilewrightPythonCAPI", "_mlir", "libLLVM", "libMLIR") if name in maps])
    """
    assert run(code) == "[]"


def test_runtime_maps_no_compiler():
    code = """
        import tilewright.runtime, tilewright._runtime, sys
        maps = open("/proc/self/maps").read()
        print([name for name in ("libTilewrightPythonCAPI", "libLLVM", "libMLIR") if name in maps])
        print([name for name in sys.modules if name.startswith("tilewright._mlir")])
    """
    assert run(code) == "[]\n[]"


def test_no_toolchain_is_needed(tmp_path):
    """A function compiles and runs where PATH holds no cc, ld, nvcc: PATH is an empty folder."""
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent("""
            import shutil
            import numpy as np
            import tilewright as tw

            assert not any(map(shutil.which, ("cc", "gcc", "clang", "ld", "ld.lld", "as", "nvcc", "ptxas")))

            @tw.jit
            def f(a, b):
                return (a @ b).sum()

            print(float(f(np.ones((8, 8), "f"), np.ones((8, 8), "f"))))
        """)
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PATH": str(tmp_path), "TILEWRIGHT_CACHE": "0"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "512.0"


@pytest.mark.parametrize("name", ["tilewright", "tw-opt"])
def test_console_scripts_are_installed(name):
    script = os.path.join(os.path.dirname(sys.executable), name)
    done = subprocess.run(
        [script, "--help"], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()
