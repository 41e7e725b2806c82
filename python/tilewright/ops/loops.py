"""Loops on values: while_loop, fori_loop, scan, with the argument order of `jax.lax`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import dtypes, errors, pytree
from ..recorder import Scope
from ..symbols import SymDim, same, show_shape
from ..values import Tracer
from .core import as_tracer, cast, need, op, recorder, shape_error
from .regions import captured_by, describe, fits, open_region, pad_captures, run_inside, types_of, values_of


def _match_carry(name: str, before: list[Tracer], names: list[str], treedef: Any, after: Any) -> list[Tracer]:
    leaves, after_def = pytree.flatten(after)
    if after_def != treedef:
        errors.fail(
            errors.ShapeError,
            f"{name}: the body returns the structure {after_def}, but carries {treedef}",
            help="return the carried values in the structure that init has.",
        )
    result = []
    for old, path, leaf in zip(before, names, leaves, strict=True):
        new = as_tracer(name, leaf, old.dtype)
        if new.weak and fits(cast(new, old.dtype), old.shape, old.dtype):
            new = cast(new, old.dtype)
        if not fits(new, old.shape, old.dtype):
            errors.fail(
                errors.DTypeError if new.dtype is not old.dtype else errors.ShapeError,
                f"{name}: carried value{' ' + path if path else ''} is {describe(old)} before the body"
                f" and {describe(new)} after it",
                help="carried types never change: convert with x.astype(...), or start with another init.",
            )
        result.append(new)
    return result


@op
def while_loop(cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any) -> Any:
    """Repeat a function while a condition holds.

    Args:
        cond_fun: carried values -> 0-d bool.
        body_fun: carried values -> carried values of the same types.
        init_val: a tree; what is carried at the start.

    Returns:
        What is carried at the end.

    Raises:
        DTypeError, ShapeError: the condition is no 0-d bool, or the body changes the types.

    Example:
        >>> y = tw.while_loop(lambda i: i < 10, lambda i: i * 2, np.int64(1))
    """
    return _while("while_loop", cond_fun, body_fun, init_val, ())


def _while(name: str, cond_fun: Any, body_fun: Any, init_val: Any, weak: tuple[int, ...]) -> Any:
    rec = recorder()
    inits, treedef, names = values_of(name, init_val)
    types = [(t.shape, t.dtype, i in weak) for i, t in enumerate(inits)]

    test, args = open_region(types)

    def run_test() -> Tracer:
        flag = need(
            name, as_tracer(name, cond_fun(pytree.unflatten(treedef, args))), "bool", "a bool condition"
        )
        if flag.shape:
            shape_error(f"{name}: the condition must be 0-d, got {show_shape(flag.shape)}")
        test.use(flag)
        return flag

    flag = run_inside(test, run_test)
    rec.pop(test)
    body, args = open_region(types, test.captured)

    def run_body() -> list[Tracer]:
        after = _match_carry(name, inits, names, treedef, body_fun(pytree.unflatten(treedef, args)))
        for x in after:
            body.use(x)
        return after

    after = run_inside(body, run_body)
    rec.pop(body)
    pad_captures(test, body.captured)
    rec.terminate(test, [flag])
    rec.terminate(body, [*after, *_inner(body)])
    carried = [*inits, *captured_by(body)]
    results = rec.emit_many("while", carried, [(t.shape, t.dtype) for t in carried], regions=[test, body])
    return pytree.unflatten(treedef, results[: len(inits)])


def _inner(scope: Scope) -> list[Tracer]:
    return [Tracer(value, scope, outer.shape, outer.dtype) for outer, value in scope.captured.values()]


@op
def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """Repeat a function for i from lower (inclusive) to upper (exclusive).

    Args:
        lower: a number, size or traced 0-d integer.
        upper: the same.
        body_fun: (i, carried values) -> carried values of the same types; i is a 0-d int64 that counts as a Python
            int in promotion.
        init_val: a tree; what is carried at the start.

    Returns:
        What is carried at the end.

    Raises:
        DTypeError, ShapeError: the body changes the types.

    Example:
        >>> y = tw.fori_loop(0, 4, lambda i, x: x + i, np.float32([1, 2]))
    """
    if (
        not isinstance(lower, Tracer)
        and not isinstance(upper, Tracer)
        and _is_size(lower)
        and _is_size(upper)
    ):
        from .creation import arange

        steps = arange(lower, upper)
        if not (isinstance(steps.shape[0], int) and steps.shape[0] == 0):
            return _scan(
                "fori_loop", lambda c, i: (body_fun(i, c), None), init_val, steps, None, False, True
            )[0]
    start, stop = (
        cast(need("fori_loop", as_tracer("fori_loop", bound), "int", "an integer as bound"), dtypes.int64)
        for bound in (lower, upper)
    )
    result = _while(
        "fori_loop",
        lambda state: state[0] < stop,
        lambda state: (state[0] + 1, body_fun(state[0], state[1])),
        (start, init_val),
        (0,),
    )
    return result[1]


def _is_size(x: Any) -> bool:
    return (isinstance(x, int) and not isinstance(x, bool)) or isinstance(x, SymDim)


@op
def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: Any = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Run a function over the leading axis, carrying values from step to step and stacking others.

    Args:
        f: (carried values, slice of xs) -> (carried values of the same types, y).
        init: a tree; what is carried at the start.
        xs: a tree of tensors with one leading size, or None.
        length: the number of steps, needed where `xs` is None.
        reverse: start at the end.

    Returns:
        What is carried at the end, and the ys, stacked along a new leading axis.

    Raises:
        DTypeError, ShapeError: the function changes the carried types, or leading sizes differ.

    Example:
        >>> y = tw.scan(lambda c, x: (c + x, c), np.float32(0), np.float32([1, 2, 3]))
    """
    return _scan("scan", f, init, xs, length, reverse, False)


def _scan(name: str, f: Any, init: Any, xs: Any, length: Any, reverse: bool, weak: bool) -> tuple[Any, Any]:
    from .creation import iota
    from .shape import flip

    rec = recorder()
    inits, treedef, names = values_of(name, init)
    inputs, x_def, _ = values_of(name, xs)
    real = len(inputs)
    steps = _steps(name, inputs, length)
    if not inputs:
        inputs = [iota((steps,))]
    if reverse:
        inputs = [flip(x, 0) for x in inputs]
    types = types_of(inits) + [(x.shape[1:], x.dtype, weak) for x in inputs]
    scope, args = open_region(types)
    count = len(inits)

    def run() -> tuple[list[Tracer], list[Tracer], Any]:
        out = f(pytree.unflatten(treedef, args[:count]), pytree.unflatten(x_def, args[count : count + real]))
        if not isinstance(out, tuple) or len(out) != 2:
            errors.fail(
                errors.ArgumentError, f"{name}: the function must return (carry, y), got {type(out).__name__}"
            )
        after = _match_carry(name, inits, names, treedef, out[0])
        ys, y_def, _ = values_of(name, out[1])
        for x in (*after, *ys):
            scope.use(x)
        return after, ys, y_def

    after, ys, y_def = run_inside(scope, run)
    rec.pop(scope)
    rec.terminate(scope, [*after, *_inner(scope), *ys])
    captured = captured_by(scope)
    if captured:
        _reorder(scope, count, len(inputs))
    carried = [*inits, *captured]
    results = [(t.shape, t.dtype) for t in carried] + [((steps, *y.shape), y.dtype) for y in ys]
    segments = {"operandSegmentSizes": rec.m.segments((len(carried), len(inputs)))}
    values = rec.emit_many("scan", [*carried, *inputs], results, segments, regions=[scope])
    stacked = values[len(carried) :]
    if reverse:
        stacked = [flip(y, 0) for y in stacked]
    return pytree.unflatten(treedef, values[:count]), pytree.unflatten(y_def, stacked)


def _steps(name: str, inputs: list[Tracer], length: Any) -> Any:
    sizes = [length] if length is not None else []
    for x in inputs:
        if not x.shape:
            shape_error(f"{name}: xs must have a leading axis, got a 0-d value")
        sizes.append(x.shape[0])
    if not sizes:
        errors.fail(errors.ArgumentError, f"{name}: give xs or length")
    for size in sizes[1:]:
        if not same(size, sizes[0]):
            shape_error(f"{name}: leading sizes {sizes[0]} and {size} differ", sizes=(sizes[0], size))
    return sizes[0]


def _reorder(scope: Scope, carried: int, sliced: int) -> None:
    """Move captured values, which arrived last, before the slices: `tw.scan` carries them.

    Block arguments can only be appended, so the operations move to a block with the arguments in the right order.
    """
    old = list(scope.block.arguments)
    order = [*range(carried), *range(carried + sliced, len(old)), *range(carried, carried + sliced)]
    region = scope.holder.regions[0]
    unknown = scope.recorder.m.unknown
    new = region.blocks.append(*[old[i].type for i in order], arg_locs=[unknown] * len(order))
    for argument, i in zip(new.arguments, order, strict=True):
        old[i].replace_all_uses_with(argument)
    for operation in list(scope.block.operations):
        new.append(operation)
    scope.block = new
