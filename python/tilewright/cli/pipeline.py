"""Print the table of stages: what each one promises, its passes with their reasons, and its tw-opt command."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--target", default="cpu", help="name of the target (cpu, cuda)")
    parser.add_argument("--commands", action="store_true", help="print the tw-opt commands alone")


def run(options: argparse.Namespace) -> int:
    """Print."""
    from .. import pipeline
    from ..targets import base

    commands = dict(pipeline.commands(options.target))
    for stage in base.table(base.find(options.target)):
        if options.commands:
            if stage.name in commands:
                print(commands[stage.name])
            continue
        print(f"{stage.name}\n    {stage.promise}")
        if stage.select:
            print(f"    (targets/{options.target.partition(':')[0]}/select.py writes #tw.config here)")
        for row in stage.passes:
            print(f"    {row.pipeline:42} {row.reason}")
        if stage.name in commands:
            print(f"    $ {commands[stage.name]}")
    return 0
