"""Objects for the runtime's tests: C sources against Abi.h, compiled when a test needs them.

The tests of this folder need no compiler of ours; `cc` stands in for it.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

ABI_DIR = Path(__file__).resolve().parents[2] / "cpp" / "Runtime"
CC = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")

needs_cc = pytest.mark.skipif(CC is None, reason="needs a C compiler to make objects")


@functools.cache
def compile_c(source: str) -> bytes:
    """Compile C to a position-independent object."""
    assert CC is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "code.c"
        path.write_text('#include "Abi.h"\n' + source)
        output = path.with_suffix(".o")
        flags = ["-c", "-O2", "-fPIC", "-fno-math-errno", "-std=gnu11", f"-I{ABI_DIR}"]
        subprocess.run([CC, *flags, str(path), "-o", str(output)], check=True)
        return output.read_bytes()


def arg(name: str, shape: list[int | None], dtype: str = "float32", **more: Any) -> dict[str, Any]:
    """Describe an argument in a manifest."""
    return {"name": name, "dtype": dtype, "shape": shape, "kind": "input", **more}


def out(shape: list[int | None], dtype: str = "float32", alias: int | None = None) -> dict[str, Any]:
    """Describe an output in a manifest."""
    return {"dtype": dtype, "shape": shape, "alias": alias}


def manifest(args: list[dict], outputs: list[dict], **more: Any) -> dict[str, Any]:
    """Write a manifest."""
    return {
        "abi": 1,
        "target": "cpu",
        "entry": "tw_main",
        "shapes": None,
        "args": args,
        "outputs": outputs,
        **more,
    }


ADD = """
int32_t tw_main(const TwRt *rt, const TwArg *in, const TwArg *out, void *scratch) {
  int64_t n = out[0].dims[0];
  const float *a = in[0].data, *b = in[1].data;
  float *c = out[0].data;
  for (int64_t i = 0; i < n; ++i) c[i] = a[i] + b[i];
  return 0;
}
int32_t tw_shapes(const TwArg *in, int64_t *out) { out[0] = in[0].dims[0]; out[1] = 0; return 0; }
"""


def add_static(n: int = 8) -> tuple[bytes, dict[str, Any]]:
    """a + b of a fixed size."""
    return compile_c(ADD), manifest([arg("a", [n]), arg("b", [n])], [out([n])])


def add_dynamic(**limits: int) -> tuple[bytes, dict[str, Any]]:
    """a + b of any size."""
    dims = {"dims": ["n"]}
    symbols = {"n": {"min": 0, "max": None, "multiple_of": 1, **limits}}
    args = [arg("a", [None], **dims), arg("b", [None], **dims)]
    return compile_c(ADD), manifest(args, [out([None])], symbols=symbols, shapes="tw_shapes")
