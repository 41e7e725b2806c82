"""Choices between functions (cond, switch) with the argument order of `jax.lax`, and checks at run time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import errors, pytree
from ..recorder import Scope
from ..symbols import show_shape
from ..values import Tracer
from .core import as_tracer, need, op, recorder, shape_error
from .regions import captured_by, describe, fits, open_region, pad_captures, run_inside, types_of, values_of


@op
def cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
    """Run one of two functions.

    Args:
        pred: 0-d bool.
        true_fn: called with the operands where `pred` holds; returns a tree.
        false_fn: called otherwise; returns a tree of the same structure, shapes and dtypes.
        operands: trees.

    Returns:
        What the function returns.

    Raises:
        DTypeError: `pred` is no bool, or the results differ in dtype.
        ShapeError: `pred` is not 0-d, or the results differ in structure or shape.

    Example:
        >>> y = tw.cond(np.bool_(True), lambda x: x + 1, lambda x: x - 1, np.float32([1, 2]))
    """
    flag = need("cond", as_tracer("cond", pred), "bool")
    if flag.shape:
        shape_error(
            f"cond: pred must be 0-d, got {show_shape(flag.shape)}", help="use tw.where to choose by element."
        )
    rec = recorder()
    inputs, treedef, _ = values_of("cond", operands)
    outputs: list[list[Tracer]] = []
    scopes: list[Scope] = []
    out_defs: list[Any] = []
    names: list[str] = []
    captured: dict[int, tuple[Tracer, Any]] = {}
    for fn in (true_fn, false_fn):
        scope, args = open_region(types_of(inputs), captured)
        result = run_inside(
            scope, lambda fn=fn, args=args: values_of("cond", fn(*pytree.unflatten(treedef, args)))
        )
        tracers, out_def, names = result
        outputs.append(tracers)
        out_defs.append(out_def)
        scopes.append(scope)
        # Pulling results into the region may capture too (a branch that returns an outer value as it is).
        run_inside(scope, lambda s=scope, t=tracers: [s.use(x) for x in t])
        captured = scope.captured
        rec.pop(scope)
    _check_branches(outputs, out_defs, names)
    pad_captures(scopes[0], scopes[1].captured)
    for scope, tracers in zip(scopes, outputs, strict=True):
        rec.terminate(scope, tracers)
    results = [(t.shape, t.dtype) for t in outputs[0]]
    values = rec.emit_many("cond", [flag, *inputs, *captured_by(scopes[1])], results, regions=scopes)
    return pytree.unflatten(out_defs[0], values)


def _check_branches(outputs: list[list[Tracer]], treedefs: list[Any], names: list[str]) -> None:
    if treedefs[0] != treedefs[1]:
        shape_error(f"cond: the branches return different structures: {treedefs[0]} and {treedefs[1]}")
    for a, b, path in zip(*outputs, names, strict=True):
        if not fits(a, b.shape, b.dtype):
            errors.fail(
                errors.DTypeError if a.dtype is not b.dtype else errors.ShapeError,
                f"cond: result{' ' + path if path else ''} is {describe(a)} in the true branch"
                f" and {describe(b)} in the false branch",
                help="both branches return the same types: convert with x.astype(...) or reshape.",
            )


@op
def switch(index: Any, branches: Any, *operands: Any) -> Any:
    """Run one of several functions, chosen by a number.

    Args:
        index: 0-d integer; clamped to the number of branches.
        branches: functions, called with the operands; all return the same types.
        operands: trees.

    Returns:
        What the function returns.

    Raises:
        DTypeError, ShapeError: as `tw.cond`.
        ArgumentError: there is no branch.

    Example:
        >>> y = tw.switch(np.int64(1), [lambda x: x, lambda x: -x], np.float32([1, 2]))
    """
    functions = list(branches)
    if not functions:
        errors.fail(errors.ArgumentError, "switch: there is no branch")
    place = need("switch", as_tracer("switch", index), "int")
    if len(functions) == 1:
        return functions[0](*operands)
    middle = len(functions) // 2

    def half(part: list[Any], first: int) -> Callable[..., Any]:
        return lambda *args: part[0](*args) if len(part) == 1 else switch(place - first, part, *args)

    return cond(place < middle, half(functions[:middle], 0), half(functions[middle:], middle), *operands)


@op
def check(pred: Any, message: str) -> None:
    """Make the program fail when it runs and a condition does not hold.

    Args:
        pred: 0-d bool.
        message: what the error says; the error also carries this line.

    Raises:
        DTypeError: `pred` is no bool.
        ShapeError: `pred` is not 0-d.

    Example:
        >>> f = tw.jit(lambda x: (tw.check(tw.all(x > 0), "x must be positive"), x)[1])
    """
    flag = need("check", as_tracer("check", pred), "bool")
    if flag.shape:
        shape_error(f"check: pred must be 0-d, got {show_shape(flag.shape)}", help="use tw.all(...).")
    recorder().emit_many("check", [flag], [], {"message": str(message)})
