"""Go on from a dumped module, at whatever stage it is, to an object file and its manifest."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from . import modules


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    modules.add_lowering_arguments(parser)
    parser.add_argument("--opt-level", type=int, choices=(0, 1, 2, 3), default=2, help="of LLVM (2)")


def run(options: argparse.Namespace) -> int:
    """Compile; writes NAME.o and, beside it, NAME.json."""
    from .. import errors, pipeline

    output = options.output
    if output is None:
        if options.file == "-":
            raise errors.ArgumentError("a module from stdin needs -o FILE.o")
        output = str(Path(options.file).with_suffix(".o"))
    target = Path(output)
    if target.suffix == ".json":
        raise errors.ArgumentError(f"-o {output}: the name is the object's; the manifest takes it with .json")
    module = modules.read_module(options.file)
    settings = modules.lowering_options(options)
    settings.opt_level = options.opt_level
    code, manifest = pipeline.compile(module, options.target, settings)
    target.write_bytes(code)
    target.with_suffix(".json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    print(f"{target}: {len(code)} bytes; manifest in {target.with_suffix('.json')}")
    return 0
