"""Run the named stages on a module that carries its stage, and print the module that comes out."""

from __future__ import annotations

import argparse

from .. import stages
from . import modules


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    modules.add_lowering_arguments(parser)
    parser.add_argument(
        "--to", required=True, choices=stages.NAMES, metavar="STAGE", help=", ".join(stages.NAMES)
    )
    parser.add_argument("--locations", action="store_true", help="print the locations of operations")
    parser.add_argument("--timing", action="store_true", help="print the seconds of each stage to stderr")


def run(options: argparse.Namespace) -> int:
    """Lower and print."""
    import sys

    from .. import errors, pipeline

    module = modules.read_module(options.file)
    start = pipeline.stage_of(module)
    if stages.NAMES.index(options.to) < stages.NAMES.index(start):
        raise errors.ArgumentError(
            f"--to={options.to}: the module is at stage '{start}' already, and lowering goes one way"
        )
    report = pipeline.Report()
    lowered = pipeline.lower(module, options.target, options.to, modules.lowering_options(options), report)
    text = lowered.operation.get_asm(enable_debug_info=options.locations)
    modules.write_text(text, options.output)
    if options.timing:
        for name, seconds in report.seconds.items():
            print(f"{name:10} {1000 * seconds:9.1f} ms", file=sys.stderr)
    return 0
