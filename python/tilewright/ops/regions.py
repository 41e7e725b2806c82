"""Regions of control flow: the functions passed to `cond`, `while_loop` and `scan` are traced into them.

What such a function uses from outside becomes an operand of the op: a loop carries it along unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import pytree
from ..recorder import Scope
from ..symbols import same, show_shape
from ..values import Tracer
from .core import as_tracer, cast, recorder


def values_of(name: str, tree: Any) -> tuple[list[Tracer], pytree.TreeDef, list[str]]:
    """Return the leaves of a tree as traced values, its structure, and the path of each leaf."""
    leaves, treedef, names = pytree.flatten_with_names(tree)
    tracers = [as_tracer(name, leaf) for leaf in leaves]
    return [cast(t, t.dtype) for t in tracers], treedef, names


def open_region(
    operands: list[tuple[Any, Any, bool]], captured: dict[int, tuple[Tracer, Any]] | None = None
) -> tuple[Scope, list[Tracer]]:
    """Open a region whose block has one argument per (shape, dtype, weak), then one per value captured before."""
    scope = recorder().push()
    args = [scope.argument(shape, dtype, weak) for shape, dtype, weak in operands]
    for key, (outer, _) in (captured or {}).items():
        inner = scope.argument(outer.shape, outer.dtype)
        scope.captured[key] = (outer, inner._value)
    return scope, args


def types_of(tracers: list[Tracer]) -> list[tuple[Any, Any, bool]]:
    """Return what `open_region` takes for arguments like these values."""
    return [(t.shape, t.dtype, False) for t in tracers]


def pad_captures(scope: Scope, others: dict[int, tuple[Tracer, Any]]) -> None:
    """Give a region the arguments for values that only a sibling region uses."""
    for key, (outer, _) in others.items():
        if key not in scope.captured:
            scope.captured[key] = (outer, scope.argument(outer.shape, outer.dtype)._value)


def captured_by(scope: Scope) -> list[Tracer]:
    """Return the outer values that a region uses, in the order of its last arguments."""
    return [outer for outer, _ in scope.captured.values()]


def run_inside(scope: Scope, fn: Callable[[], Any]) -> Any:
    """Run a function inside a region; the region is closed even if it raises."""
    try:
        return fn()
    except BaseException:
        recorder().pop(scope)
        raise


def describe(t: Tracer) -> str:
    """Show a type in a message."""
    return f"{t.dtype}{show_shape(t.shape)}"


def fits(a: Tracer, shape: Any, dtype: Any) -> bool:
    """Tell whether a value is of a type."""
    return a.dtype is dtype and len(a.shape) == len(shape) and all(map(same, a.shape, shape))
