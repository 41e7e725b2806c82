"""Time how a program is compiled: stage by stage, the first time (cold) and later (warm).

PROGRAM is a script that calls functions of tw.jit, a dumped module (.mlir), or a language model (.gguf). Without it, a
function of two operations is taken. The disk cache plays no part. Of the programs of a process the first is the
coldest; a script has compiled its own by the time they are timed.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from . import memory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("program", nargs="?", metavar="PROGRAM", help="SCRIPT.py, FILE.mlir or MODEL.gguf")
    parser.add_argument(
        "--passes", action="store_true", help="print the time of each pass and of LLVM's steps, too"
    )
    parser.add_argument(
        "--repeat", type=int, default=3, metavar="N", help="warm compilations; the best counts (3)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("arguments", nargs="*", help="of a script; those with dashes go after --")


def run(options: argparse.Namespace) -> int:
    """Compile and print."""
    from .. import errors
    from ..mlir import mlir

    if options.repeat < 1:
        raise errors.ArgumentError(f"--repeat {options.repeat}: at least one warm compilation is needed")
    started = time.perf_counter()
    mlir()
    loaded = time.perf_counter() - started
    programs = _programs(options)
    if not programs:
        raise errors.ArgumentError(f"{options.program}: compiled no function with tw.jit")
    results = [_measure(name, module, options) for name, module in programs]
    if options.json:
        print(json.dumps({"library_load": loaded, "programs": results}, indent=1))
        return 0
    print(f"compiler library loaded in {1e3 * loaded:.0f} ms")
    for result in results:
        print(_table(result))
    if len(results) > 1:
        cold, warm = (sum(sum(r[kind].values()) for r in results) for kind in ("cold", "warm"))
        print(f"{'all programs':52} {1e3 * cold:9.1f} {1e3 * warm:9.1f}")
    return 0


def _programs(options: argparse.Namespace) -> list[tuple[str, Any]]:
    """Return what is to be compiled: (name, module at its stage)."""
    if options.program is None:
        return [("exp(a + b)", _two_operations())]
    kind = Path(options.program).suffix
    if kind == ".gguf":
        from ..models.language_model import LanguageModel

        lowered = LanguageModel(options.program, prepare=False).lowered()
        return [(name, program.program.module) for name, program in lowered.items()]
    if kind == ".mlir":
        from . import modules

        return [(options.program, modules.read_module(options.program))]
    from .explain import run_script

    functions = run_script(options.program, options.arguments)
    return [(p.name, p.lowered.program.module) for function in functions for p in function.programs()]


def _two_operations() -> Any:
    import tilewright as tw

    vector = tw.spec((8,), "float32")
    return tw.jit(lambda a, b: tw.exp(a + b)).trace(vector, vector).module


def _measure(name: str, module: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Compile once cold, then warm, then once more pass by pass where that is asked for; times in seconds."""
    from .. import config, pipeline

    target = config.current().target

    def compile(time_passes: bool = False) -> tuple[pipeline.Report, bytes]:
        report = pipeline.Report()
        settings = pipeline.Options(target=target, time_passes=time_passes)
        code, _ = pipeline.compile(module, target, settings, report)
        return report, code

    before = memory.peak()
    cold, code = compile()
    added = memory.peak() - before
    warm = min((compile()[0] for _ in range(options.repeat)), key=lambda report: sum(report.seconds.values()))
    passes = compile(time_passes=True)[0].passes if options.passes else []
    return {
        "name": name,
        "kernels": len(cold.kernels),
        "object_bytes": len(code),
        "added_bytes": added,
        "cold": cold.seconds,
        "warm": warm.seconds,
        "passes": [{"stage": stage, "pass": text, "seconds": seconds} for stage, text, seconds in passes],
    }


def _table(result: dict[str, Any]) -> str:
    added = result["added_bytes"] >> 20
    facts = f"{result['kernels']} kernels, object {result['object_bytes']} bytes, peak memory +{added} MB"
    lines = [f"\n{result['name']}: {facts}", f"{'stage':52} {'cold ms':>9} {'warm ms':>9}"]
    for stage, seconds in result["cold"].items():
        lines.append(f"{stage:52} {1e3 * seconds:9.1f} {1e3 * result['warm'][stage]:9.1f}")
        lines += [
            f"  {row['pass'][:60]:60} {1e3 * row['seconds']:11.1f}"
            for row in result["passes"]
            if row["stage"] == stage
        ]
    total = [1e3 * sum(result[kind].values()) for kind in ("cold", "warm")]
    lines.append(f"{'total':52} {total[0]:9.1f} {total[1]:9.1f}")
    return "\n".join(lines)
