"""Run a script, then explain every function that it compiled: kernels, fusions, tile sizes, and why."""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--roof",
        action="store_true",
        help="measure the machine's ceilings, and say what each kernel takes at least, with the sizes of most calls",
    )
    parser.add_argument("script", metavar="SCRIPT.py", help="what to run")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")


def run(options: argparse.Namespace) -> int:
    """Run the script as `python SCRIPT.py` would, and print the explanations after its own output."""
    from .. import explain, runtime
    from ..roofline import calls, ceilings

    if not options.roof:
        for function in run_script(options.script, options.arguments):
            print(f"\n{function.explain()}")
        return 0
    functions = calls.counted(lambda: run_script(options.script, options.arguments))
    with explain.under(ceilings.measure(runtime.num_threads())):
        for title, lowered in calls.programs(functions):
            print(f"\n{explain.explain(title, lowered.compile().manifest)}")
    for function in functions:
        for reason in function.cache_info().reasons:
            print(f"\nrecompiled: {reason}")
    return 0


def run_script(script: str, arguments: list[str]) -> list[Any]:
    """Run a script as `python SCRIPT.py ARGUMENTS` would.

    Returns:
        The functions of `tw.jit` that it called.

    Raises:
        ArgumentError: it compiled none.
    """
    from .. import api, errors

    path = Path(script)
    if not path.is_file():
        raise FileNotFoundError(2, "no such file", script)
    jitted = api.watch_functions()
    before = sys.argv, sys.path[:]
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(path.resolve().parent))
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as stop:
        if stop.code not in (None, 0):
            raise
    finally:
        sys.argv, sys.path[:] = before
    called = [function for function in jitted if function.cache_info().currsize]
    if not called:
        raise errors.ArgumentError(f"{script}: compiled no function with tw.jit")
    return called
