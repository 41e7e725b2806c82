"""Where a program's operations stand in user code, so that compiled code which is used again names today's lines.

Locations are no part of a cache key: the same program written elsewhere, or moved by an edit, finds the same object.
Its manifest then speaks of the lines of whoever compiled it first. A list of places in the order of operations, kept
beside the object, translates them.
"""

from __future__ import annotations

import json
import linecache
from typing import Any

#: file, line, column, function
Place = tuple[str, int, int, str]

_NOWHERE: Place = ("", 0, 0, "")


def of_module(module: Any) -> list[Place]:
    """Return the place of each operation of a `traced` module, in the order in which they are printed."""
    from ._mlir import ir

    found: list[Place] = []

    def visit(op: Any) -> Any:
        found.append(_place(op.location))
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit, ir.WalkOrder.PRE_ORDER)
    return found


def _place(location: Any) -> Place:
    function = ""
    if location.is_a_name():
        function, location = location.name_str, location.child_loc
    if not location.is_a_file():
        return _NOWHERE
    return location.filename, location.start_line, location.start_col, function


def dumps(places: list[Place]) -> bytes:
    """Write places as JSON."""
    return json.dumps(places).encode()


def relocate(manifest: str, before: bytes, after: list[Place]) -> str:
    """Replace the places that a manifest names.

    Args:
        manifest: JSON of a program that was compiled before.
        before: what `dumps` wrote of that program.
        after: the places of the same program as it was traced now.

    Returns:
        The manifest with the places of `after`.

    Raises:
        ValueError: `before` is no list of places, or one of another program.
    """
    old = [tuple(place) for place in json.loads(before)]
    if len(old) != len(after):
        raise ValueError(f"{len(old)} places for {len(after)} operations")
    if old == after:
        return manifest
    moved = dict(zip(reversed(old), reversed(after), strict=True))  # the first of equal places counts
    data = json.loads(manifest)
    for row in data["locations"]:
        place = moved.get((row["file"], row["line"], row["column"], row["function"]))
        if place is not None:
            row["file"], row["line"], row["column"], row["function"] = place
            row["text"] = linecache.getline(place[0], place[1]).strip()
    lines = {f"{p[0]}:{p[1]}": f"{q[0]}:{q[1]}" for p, q in moved.items()}
    for kernel in data["kernels"]:
        kernel["lines"] = list(dict.fromkeys(lines.get(line, line) for line in kernel["lines"]))
    return json.dumps(data)
