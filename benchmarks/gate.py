"""The regression gate: how many instructions a call of some kernels executes, counted by valgrind.

    python -m benchmarks.gate             compares with the recorded counts
    python -m benchmarks.gate --update    records them anew

Times on shared machines are noise; counts are not. Valgrind knows no AVX-512, so kernels are compiled for a fixed
target with AVX2 and fixed cache sizes: the counts are the same on every machine, and say nothing about the wider code.
A program is exported to C, where its loops run in one thread; the difference between runs of three calls and of one is
two calls, whatever start-up costs. Fewer instructions are no proof of speed: a change of counts is a question, and
`--update` in the same commit is its answer.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

COUNTS = Path(__file__).with_name("gate_counts.json")
TOLERANCE = 0.02

DRIVER = """#include "kernel.h"
#include <stdlib.h>
#include <string.h>

static void *filled(size_t bytes) {
  void *memory = aligned_alloc(64, (bytes + 127) / 64 * 64);
  memset(memory, 0x3e, bytes); /* 0.19 as float32, 1.6 as float16, 62 as a byte */
  return memory;
}

int main(int count, char **arguments) {
  static const int64_t dims[][8] = {%(dims)s};
  TwArg in[] = {%(inputs)s};
  TwArg out[] = {%(outputs)s};
  int64_t sizes[KERNEL_SHAPES];
  if (kernel_shapes(in, sizes) != TW_OK)
    return 1;
  TwHost host;
  tw_host_init(&host);
  for (int calls = count > 1 ? atoi(arguments[1]) : 1; calls > 0; --calls)
    if (tw_call(&host, kernel_main, in, out, sizes[KERNEL_SHAPES - 1]) != TW_OK)
      return 2;
  return 0;
}
"""


def kernels() -> dict[str, Callable[[], Any]]:
    """Return the gate's kernels: name → function that traces it."""
    import tilewright as tw

    def spec(*shape: int, dtype: str = "float32") -> Any:
        return tw.spec(shape, dtype)

    def gemv() -> Any:
        planes = {"storage": spec(512, 16, 16, dtype="uint8"), "scales": spec(512, 16, dtype="float16")}
        weight = tw.QuantizedTensor(planes, format="q4_0")
        return tw.jit(lambda w, x: tw.linear(x, w), weight_argnums=0).trace(weight, spec(1, 512))

    return {
        "matmul_64": lambda: tw.jit(lambda a, b: a @ b).trace(spec(64, 64), spec(64, 64)),
        "softmax_64x256": lambda: tw.jit(tw.nn.softmax).trace(spec(64, 256)),
        "gelu_16384": lambda: tw.jit(lambda x: tw.nn.gelu(x * 1.1 + 0.3) * 0.7).trace(spec(16384)),
        "layernorm_64x256": lambda: tw.jit(tw.nn.layer_norm).trace(spec(64, 256)),
        "gemv_q4_512": gemv,
    }


def target() -> Any:
    """Return the fixed target: AVX2, caches of 32 KB and 1 MB."""
    from tilewright.targets.cpu import select
    from tilewright.targets.cpu.target import CpuTarget

    fixed = CpuTarget("haswell", "+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+popcnt")
    # The facts of the host must not decide about tiles here.
    fixed.__dict__["machine"] = select.Machine(
        vector_bits=256, registers=16, l1_bytes=1 << 15, l2_bytes=1 << 20
    )
    return fixed


def missing_tool() -> str | None:
    """Return the name of a tool that is needed and not there."""
    return next((tool for tool in ("valgrind", "cc") if shutil.which(tool) is None), None)


def count(traced: Any) -> int:
    """Return the instructions of one call of a traced program.

    Raises:
        RuntimeError: the C compiler or valgrind fails.
    """
    from tilewright import pipeline, runtime
    from tilewright.runtime.export import export

    code, manifest = pipeline.compile(traced.module, target())
    with tempfile.TemporaryDirectory(prefix="tilewright-gate-") as name:
        folder = Path(name)
        export(runtime.Executable(code, manifest), folder, "kernel")
        (folder / "main.c").write_text(_driver(manifest), encoding="ascii")
        command = ["cc", "-std=c11", "-O1", "main.c", "kernel.o", "tilewright_rt.c", "-lm", "-o", "program"]
        _run(command, folder)
        one, three = (_instructions(folder, calls) for calls in (1, 3))
    return (three - one) // 2


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ends with status {done.returncode}: {done.stderr.strip()[-1000:]}")
    return done


def _instructions(folder: Path, calls: int) -> int:
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "./program", str(calls)]
    done = _run(command, folder)
    found = re.search(r"Collected\s*:\s*(\d+)", done.stderr)
    if found is None:
        raise RuntimeError(f"callgrind prints no count: {done.stderr.strip()[-200:]}")
    return int(found[1])


def _driver(manifest: dict[str, Any]) -> str:
    """Return a C program that calls `kernel_main` as often as its argument says, on arrays of constants."""
    from tilewright import dtypes

    arrays = [*manifest["args"], *manifest["outputs"]]
    rows = []
    for index, entry in enumerate(arrays):
        size = math.prod(entry["shape"]) * dtypes.by_name(entry["dtype"]).numpy.itemsize
        rows.append(f"{{filled({size}), dims[{index}], dims[{index}]}}")  # dense code reads no strides
    values = {
        "dims": ", ".join("{" + ", ".join(map(str, entry["shape"] or [0])) + "}" for entry in arrays),
        "inputs": ", ".join(rows[: len(manifest["args"])]),
        "outputs": ", ".join(rows[len(manifest["args"]) :]),
    }
    return DRIVER % values


def compare(found: dict[str, int], recorded: dict[str, int]) -> list[str]:
    """Return a line for each kernel whose count left the tolerance, or that has none recorded."""
    lines = []
    for name, instructions in found.items():
        if name not in recorded:
            lines.append(f"{name}: {instructions} instructions, none recorded")
        elif abs(instructions / recorded[name] - 1) > TOLERANCE:
            change = instructions / recorded[name] - 1
            lines.append(f"{name}: {instructions} instructions, {change:+.1%} against {recorded[name]}")
    return lines


def main(argv: list[str] | None = None) -> int:
    """Count, and compare or record."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gate", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--update", action="store_true", help="record the counts instead of comparing")
    options = parser.parse_args(argv)
    if tool := missing_tool():
        print(f"the gate needs {tool}", file=sys.stderr)
        return 2
    found = {name: count(trace()) for name, trace in kernels().items()}
    for name, instructions in found.items():
        print(f"{name:<20}{instructions:>12} instructions")
    if options.update:
        COUNTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return 0
    lines = compare(found, json.loads(COUNTS.read_text(encoding="utf-8")) if COUNTS.exists() else {})
    print("\n".join(lines) or f"all within {TOLERANCE:.0%} of what is recorded")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
