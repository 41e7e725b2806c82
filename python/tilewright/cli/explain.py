"""Run a script, then explain every function that it compiled: kernels, fusions, tile sizes, and why."""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("script", metavar="SCRIPT.py", help="what to run")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")


def run(options: argparse.Namespace) -> int:
    """Run the script as `python SCRIPT.py` would, and print the explanations after its own output."""
    from .. import api, errors

    path = Path(options.script)
    if not path.is_file():
        raise FileNotFoundError(2, "no such file", options.script)
    jitted = api.watch_functions()
    before = sys.argv, sys.path[:]
    sys.argv = [options.script, *options.arguments]
    sys.path.insert(0, str(path.resolve().parent))
    try:
        runpy.run_path(options.script, run_name="__main__")
    except SystemExit as stop:
        if stop.code not in (None, 0):
            raise
    finally:
        sys.argv, sys.path[:] = before
    shown = 0
    for function in jitted:
        if function.cache_info().currsize:
            print(f"\n{function.explain()}")
            shown += 1
    if not shown:
        raise errors.ArgumentError(f"{options.script}: compiled no function with tw.jit")
    return 0
