"""Modules as files: what `opt`, `compile` and `pipeline` share."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from .. import pipeline
from ..mlir import mlir


def add_lowering_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the file and how to lower it."""
    parser.add_argument(
        "file", metavar="FILE.mlir", help="a module that carries its stage; - reads it from stdin"
    )
    parser.add_argument("--target", default="cpu", help="name of the target (cpu)")
    parser.add_argument("--dump", metavar="DIR", help="write the module after every stage there")
    parser.add_argument("--override", metavar="DIR", help="use the NN-stage.mlir files found there instead")
    parser.add_argument("--no-verify", action="store_true", help="do not check the promises of the stages")
    parser.add_argument("-o", "--output", metavar="FILE", help="where the result goes (stdout)")


def lowering_options(options: argparse.Namespace) -> pipeline.Options:
    """Return the pipeline's options."""
    return pipeline.Options(
        target=options.target, verify=not options.no_verify, dump=options.dump, override=options.override
    )


def read_module(name: str) -> Any:
    """Parse a file.

    Raises:
        FormatError: it is no module, or carries no stage.
    """
    text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    return pipeline.parse(text, name, mlir().context)


def write_text(text: str, output: str | None) -> None:
    """Write to a file, or to stdout."""
    if output in (None, "-"):
        print(text, end="" if text.endswith("\n") else "\n")
    else:
        Path(output).write_text(text, encoding="utf-8")
