"""`tilewright cache`: look at the disk cache and keep it in order."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

from . import config
from .cache import Cache, Row, flat, short

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tilewright cache", description=__doc__)
    parser.add_argument("--dir", type=Path, help="the cache folder (default: TILEWRIGHT_CACHE_DIR)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ls", help="list the entries, the most recently used first")
    verify = commands.add_parser("verify", help="check all checksums; exit code 1 if an entry is damaged")
    verify.add_argument("--remove", action="store_true", help="remove damaged entries")
    gc = commands.add_parser("gc", help="remove the entries that were not used for longest")
    gc.add_argument("--max-size", help="keep at most so much, such as 500M (default: TILEWRIGHT_CACHE_SIZE)")
    gc.add_argument("--max-age", type=float, metavar="DAYS", help="remove what was not used for so many days")
    commands.add_parser("clear", help="remove all entries")
    explain = commands.add_parser(
        "explain", help="show what entries were made of, and what changed between them"
    )
    explain.add_argument(
        "name",
        nargs="?",
        default="",
        help="the name of a function or of a model's file, or the start of a key",
    )
    commands.add_parser("path", help="print the folder")
    return parser


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GB"


def _line(row: Row) -> str:
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.used))
    problem = f"   DAMAGED: {row.problem}" if row.problem else ""
    return f"{row.key[:16]}  {_size(row.size):>9}  {used}  {row.label or '-'}{problem}"


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    options = _parser().parse_args(argv)
    settings = config.current()
    cache = Cache(options.dir or settings.cache_dir, settings.cache_size)
    answer: Any
    code = 0
    lines: list[str]
    if options.command in ("ls", "verify"):
        rows = cache.ls() if options.command == "ls" else cache.verify(remove=options.remove)
        code = 1 if options.command == "verify" and rows else 0
        total = f"{len(rows)} entries, {_size(sum(row.size for row in rows))} in {cache.folder}"
        lines = [*map(_line, rows), total if options.command == "ls" else f"{len(rows)} damaged entries"]
        answer = [dataclasses.asdict(row) for row in rows]
    elif options.command in ("gc", "clear"):
        limit = -1 if options.command == "clear" else None
        age = None
        if options.command == "gc":
            limit = config.parse_size(options.max_size) if options.max_size else None
            age = options.max_age * 86400 if options.max_age is not None else None
        answer = cache.gc(limit, age)
        lines = [f"{len(answer)} entries removed"]
    elif options.command == "explain":
        found = cache.explain(options.name)
        lines, answer = [], []
        for row, changes in found:
            lines.append(_line(row))
            shown = changes or [(name, None, value) for name, value in flat(row.components).items()]
            for name, old, new in shown:
                lines.append(
                    f"    {name}: {short(old)} -> {short(new)}" if changes else f"    {name}: {short(new)}"
                )
            answer.append({**dataclasses.asdict(row), "changes": changes})
        code = 0 if found else 1
    else:
        lines, answer = [str(cache.folder)], str(cache.folder)
    print(json.dumps(answer, indent=1) if options.json else "\n".join(lines))
    return code
