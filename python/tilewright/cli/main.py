"""The entry point: one subcommand per module, errors as one clear line.

Exit codes: 0 done, 1 the command's own "no" (a damaged cache entry, say), 2 a mistake of the user, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import NoReturn

from ..errors import ArgumentError, FormatError, TilewrightError

# command → (module with `add_arguments(parser)` and `run(options) -> int`, help)
COMMANDS: dict[str, tuple[str, str]] = {
    "generate": ("generate", "continue a prompt with a language model from a GGUF file"),
    "cache": ("cache", "look at the disk cache and keep it in order: ls, verify, gc, explain"),
    "opt": ("opt", "run named stages on a module: --to=STAGE"),
    "pipeline": ("pipeline", "print the stages, and the tw-opt command of each"),
    "compile": ("compile", "go on from a dumped module to an object file"),
    "explain": ("explain", "run a script and explain every function it compiled"),
    "roofline": ("roofline", "measure this machine's ceilings, and the kernels of a program under them"),
    "config": ("config", "print all settings and where they come from"),
    "version": ("version", "print the versions of Tilewright and its toolchain"),
}


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line; `--help` has the rest."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Make the parser; with `only`, the modules of other commands are not imported."""
    parser = _Parser(prog="tilewright", description="Tilewright: a tensor compiler on MLIR.")
    parser.add_argument("--version", action="store_true", help="print the versions and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, (module, text) in COMMANDS.items():
        if only in COMMANDS and name != only:
            commands.add_parser(name, help=text)
            continue
        implementation = importlib.import_module(f"{__package__}.{module}")
        sub = commands.add_parser(name, help=text, description=implementation.__doc__)
        implementation.add_arguments(sub)
        sub.set_defaults(run=implementation.run)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a command line; return the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["cache"]:
        # Its parser is its own: the module is also used without this one.
        return _guard("cache", lambda: importlib.import_module("tilewright.cache").main(arguments[1:]))
    parser = build_parser(arguments[0] if arguments else None)
    options = parser.parse_args(arguments)
    if options.version:
        options.run = importlib.import_module(f"{__package__}.version").run
    elif options.command is None:
        parser.print_help()
        return 0
    return _guard(options.command, lambda: options.run(options))


def _guard(command: str, run) -> int:
    """Run a command; whatever the user did wrong becomes a line on stderr instead of a traceback."""
    try:
        code = run()
        sys.stdout.flush()
        return code
    except TilewrightError as error:
        # A script's own line matters; for a file or a flag the line of ours that noticed does not.
        if command in ("explain", "roofline") or not isinstance(error, (FormatError, ArgumentError)):
            return _complain(command, str(error))
        return _complain(
            command, f"{error.message} ({error.help.rstrip('.')})" if error.help else error.message
        )
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            # The reader (head, less) has seen enough. Python would complain once more when it closes stdout.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        where = f"{error.filename}: " if error.filename else ""
        return _complain(command, f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        return _complain(command, "interrupted", 130)


def _complain(command: str, text: str, code: int = 2) -> int:
    print(f"tilewright {command}: {text}", file=sys.stderr)
    return code
