"""Measure this machine's ceilings, and show how near the kernels of a program come to them.

PROGRAM is a script that calls functions of tw.jit (measured for the sizes that most of its calls have), a dumped module
(.mlir), or a language model (.gguf), whose step of one token is measured. Without it, the ceilings alone are printed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("program", nargs="?", metavar="PROGRAM", help="SCRIPT.py, FILE.mlir or MODEL.gguf")
    parser.add_argument("--threads", type=int, help="how many run (what the process may use)")
    parser.add_argument("--plot", metavar="FILE", help="draw it, too: .svg or .png (needs matplotlib)")
    parser.add_argument("--tokens", type=int, default=1, metavar="N", help="of a model: fed at once (1)")
    parser.add_argument(
        "--end",
        type=int,
        metavar="N",
        help="of a model: positions in the cache afterwards (256, or N tokens)",
    )
    parser.add_argument("arguments", nargs="*", help="of a script; those with dashes go after --")


def run(options: argparse.Namespace) -> int:
    """Measure and print."""
    from .. import errors, runtime
    from ..roofline import ceilings, chart, kernels

    if options.plot:
        if not options.program:
            raise errors.ArgumentError("--plot: give a PROGRAM, whose kernels the plot shows")
        chart.need_matplotlib(options.plot)
    if options.threads is not None:
        runtime.set_num_threads(options.threads)
    programs = _programs(options) if options.program else []
    found = ceilings.measure(runtime.num_threads())
    if not options.program:
        print(f"{found.threads} threads: {found.describe()}")
        return 0
    if options.plot and len(programs) > 1:
        raise errors.ArgumentError(
            f"--plot: {options.program} has {len(programs)} programs, a plot shows one"
        )
    for name, module in programs:
        measured = kernels.measure(module, "cpu", _progress)
        print(f"{name}\n{chart.table(measured, found)}")
        if options.plot:
            chart.plot(measured, found, options.plot, name)
    return 0


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\rkernel {done + 1} of {total} ", end="" if done + 1 < total else "\n", file=sys.stderr)


def _programs(options: argparse.Namespace) -> list[tuple[str, Any]]:
    """Return the programs to measure: (name, module)."""
    kind = Path(options.program).suffix
    if kind == ".gguf":
        from ..models.language_model import LanguageModel

        model = LanguageModel(options.program, prepare=False)
        end = options.end or max(options.tokens, min(256, model.context))
        lowered = model.lower(options.tokens, end=end)
        title = f"{Path(options.program).name}, {options.tokens} token(s) up to position {end}"
        return [(title, lowered.program.module)]
    if kind == ".mlir":
        from . import modules

        return [(options.program, modules.read_module(options.program))]
    from ..roofline import calls
    from .explain import run_script

    functions = calls.counted(lambda: run_script(options.program, options.arguments))
    return [(title, lowered.program.module) for title, lowered in calls.programs(functions)]
