"""What every op function shares: entering a trace, promotion, broadcasting, axes and shape checks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, ParamSpec, TypeVar

from .. import dtypes, errors, pytree, values
from ..dtypes import DType
from ..recorder import Recorder
from ..symbols import Size, SymDim, product, same, show_shape
from ..values import Tracer

P = ParamSpec("P")
R = TypeVar("R")

# Runs one function on arrays outside of any trace; set by tilewright.api.
eager: Callable[..., Any] | None = None


def op(fn: Callable[P, R]) -> Callable[P, R]:
    """Make a public function of an op: it records into the running trace, or runs at once where there is none."""

    @errors.trim_traceback
    @functools.wraps(fn)
    def public(*args: P.args, **kwargs: P.kwargs) -> R:
        if values._state.recorder is not None:
            return fn(*args, **kwargs)
        return outside(fn, args, kwargs)

    return public


def outside(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Handle a call outside of a trace: an explicit Graph's values bring their recorder, arrays are computed."""
    for x in _flat((args, kwargs)):
        if isinstance(x, Tracer):
            recorder = x._scope.recorder
            if not recorder.alive:
                values.leaked(x, None)
            with values.activate(recorder):
                return fn(*args, **kwargs)
    if eager is None:
        from .. import api  # noqa: F401 (sets `eager`)
    assert eager is not None
    return eager(fn, args, kwargs)


def _flat(tree: Any) -> Iterable[Any]:
    yield from pytree.flatten(tree)[0]


def recorder() -> Recorder:
    """Return the recorder that ops write to."""
    found = values._state.recorder
    assert found is not None, "ops are entered through the decorator `op`"
    return found


def shape_error(message: str, help: str | None = None, sizes: Iterable[Any] = ()) -> NoReturn:
    """Raise ShapeError, with where the symbolic sizes come from."""
    origins = dict.fromkeys(text for size in sizes if isinstance(size, SymDim) for text in size.origins())
    if origins:
        message = f"{message} ({'; '.join(origins)})"
    errors.fail(errors.ShapeError, message, help=help)


def as_tracer(name: str, x: Any, dtype: DType | None = None) -> Tracer:
    """Turn an operand into a value of the running trace.

    Args:
        name: the op, for messages.
        x: a traced value, array, number or size.
        dtype: what a Python number becomes.

    Raises:
        DTypeError: it is nothing that has a dtype.
    """
    rec = recorder()
    if isinstance(x, Tracer):
        if x._scope.recorder is not rec:
            values.leaked(x, rec)
        return x
    if type(x) in (bool, int, float):
        return rec.constant(x, dtype if dtype is not None else dtypes.of(x), weak=dtype is None)
    if isinstance(x, SymDim):
        return rec.scope.scalar(x)
    convert = getattr(x, "__tw_value__", None)
    if convert is not None:
        return convert()
    if hasattr(x, "__array__") or hasattr(x, "__dlpack__"):
        return rec.constant(x)
    _no_array(name, x)


def _no_array(name: str, x: Any) -> NoReturn:
    kind = type(x).__name__
    errors.fail(
        errors.DTypeError,
        f"{name}: expected an array or a number, got {kind}",
        help="convert lists with np.asarray; unpack containers first."
        if kind in ("list", "tuple", "dict")
        else None,
    )


def emit(
    name: str, operands: Any, shape: tuple[Size, ...], dtype: DType, attributes: Any = None, sizes: Any = ()
) -> Tracer:
    """Append an op with one result to the running trace."""
    return recorder().emit(name, operands, shape, dtype, attributes, sizes)


# ---- dtypes -------------------------------------------------------------------------------------------------


def cast(x: Tracer, dtype: DType) -> Tracer:
    """Convert the elements, or return the value itself."""
    if x.dtype is dtype:
        return x if not x.weak else Tracer(x._value, x._scope, x.shape, dtype)
    return recorder().emit("cast", (x,), x.shape, dtype)


_WEAK_SAMPLES = {"bool": True, "int": 1, "uint": 1, "float": 0.5}


def promoted(name: str, args: tuple[Any, ...]) -> tuple[DType, bool]:
    """Find the common dtype of operands; also tell whether all of them are weak."""
    strong: list[Any] = []
    weak: list[Any] = []
    for x in args:
        if isinstance(x, Tracer):
            if x.weak:
                weak.append(x)
            else:
                strong.append(x.dtype)
        elif type(x) in (bool, int, float):
            weak.append(x)
        elif isinstance(x, SymDim):
            weak.append(1)
        elif hasattr(x, "dtype") or isinstance(x, DType):
            strong.append(dtypes.of(getattr(x, "dtype", x)))
        else:
            _no_array(name, x)
    try:
        if not strong:
            found = [dtypes.of(x) if not isinstance(x, Tracer) else x.dtype for x in weak]
            return max(found, key=lambda d: (("bool", "int", "uint", "float").index(d.kind), d.bits)), True
        samples = [_WEAK_SAMPLES[x.dtype.kind] if isinstance(x, Tracer) else x for x in weak]
        return dtypes.promote(*strong, *samples), False
    except errors.DTypeError as exc:
        message = exc.message.replace("promote:", f"{name}:", 1)
        errors.fail(errors.DTypeError, message, help=exc.help)


def unify(name: str, *args: Any) -> list[Tracer]:
    """Bring operands to one dtype, and to one shape by explicit broadcasts."""
    first = args[0]
    if (
        isinstance(first, Tracer)
        and all(isinstance(x, Tracer) and x.dtype is first.dtype and not x.weak for x in args)
    ):  # fmt: skip
        tracers = list(args)
        rec = recorder()
        for x in tracers:
            if x._scope.recorder is not rec:
                values.leaked(x, rec)
    else:
        dtype, weak = promoted(name, args)
        tracers = [as_tracer(name, x, dtype) for x in args]
        tracers = [x if x.dtype is dtype and (weak or not x.weak) else cast(x, dtype) for x in tracers]
    shape = tracers[0].shape
    if all(x.shape is shape or _all_same(x.shape, shape) for x in tracers):
        return tracers
    shape = broadcast_shapes(name, *[x.shape for x in tracers])
    return [broadcast(x, shape) for x in tracers]


def floating(name: str, x: Any) -> Tracer:
    """Bring one operand to a float dtype: integers become the default float."""
    value = as_tracer(name, x)
    if value.dtype.is_float and not value.dtype.is_storage:
        return value
    if value.dtype.is_bool or value.dtype.is_storage:
        need(name, value, "float", "a float")
    return cast(value, dtypes.DEFAULT_FLOAT)


_KINDS: dict[str, Callable[[DType], bool]] = {
    "float": lambda d: d.is_float and not d.is_storage,
    "int": lambda d: d.is_integer and not d.is_storage,
    "bool": lambda d: d.is_bool,
    "number": lambda d: not d.is_bool and not d.is_storage,
    "bits": lambda d: (d.is_integer or d.is_bool) and not d.is_storage,
    "any": lambda d: not d.is_storage,
}


def need(name: str, x: Tracer, kind: str, text: str | None = None) -> Tracer:
    """Check the kind of a dtype."""
    if not _KINDS[kind](x.dtype):
        text = text or {"float": "a float", "int": "an integer", "bool": "a bool", "number": "a number",
                        "bits": "an integer or bool", "any": "a computable dtype"}[kind]  # fmt: skip
        errors.fail(
            errors.DTypeError,
            f"{name}: expected {text}, got {x.dtype}{show_shape(x.shape)}",
            help="convert it with x.astype(...).",
        )
    return x


# ---- shapes -------------------------------------------------------------------------------------------------


def _all_same(a: tuple[Size, ...], b: tuple[Size, ...]) -> bool:
    return len(a) == len(b) and all(map(same, a, b))


def broadcast_shapes(name: str, *shapes: tuple[Size, ...]) -> tuple[Size, ...]:
    """Common shape by NumPy's rule; a size that is not static never stretches."""
    rank = max(map(len, shapes))
    result: list[Size] = []
    for axis in range(rank):
        found: Size = 1
        for shape in shapes:
            place = axis - rank + len(shape)
            size = shape[place] if place >= 0 else 1
            if same(size, 1) or same(size, found):
                continue
            if not same(found, 1):
                _mismatch(name, shapes, found, size)
            found = size
        result.append(found)
    return tuple(result)


def _mismatch(name: str, shapes: Any, a: Size, b: Size) -> NoReturn:
    listed = " and ".join(map(show_shape, shapes))
    symbolic = isinstance(a, SymDim) or isinstance(b, SymDim)
    shape_error(
        f"{name}: shapes {listed} do not broadcast: {a} against {b}",
        help="a size that is not static equals only itself: give both arguments the same tw.Dim,"
        " or stretch it with tw.broadcast_to."
        if symbolic
        else "sizes must be equal or 1, counted from the last axis; reshape or transpose one operand.",
        sizes=(a, b),
    )


def broadcast(x: Tracer, shape: tuple[Size, ...]) -> Tracer:
    """Stretch to a shape that is known to fit."""
    if _all_same(x.shape, shape):
        return x
    skip = len(shape) - len(x.shape)
    return recorder().emit(
        "broadcast",
        (x,),
        shape,
        x.dtype,
        {"dims": tuple(range(skip, len(shape)))},
        [size for size in shape if isinstance(size, SymDim)],
        x.weak,
    )


def axis_of(name: str, axis: Any, rank: int, what: str = "axis") -> int:
    """Check one axis, counting from the end when negative."""
    try:
        index = axis.__index__()
    except (AttributeError, TypeError):
        errors.fail(errors.ShapeError, f"{name}: {what} must be an int, got {axis!r}")
    if not -rank <= index < rank:
        shape_error(
            f"{name}: {what} {index} is out of range for rank {rank}", help=f"valid: {-rank} to {rank - 1}."
        )
    return index % rank if rank else 0


def axes_of(name: str, axis: Any, rank: int) -> tuple[int, ...]:
    """Check axes given as None (all), an int or a tuple; sorted."""
    if axis is None:
        return tuple(range(rank))
    items = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    found = sorted(axis_of(name, item, rank) for item in items)
    if len(set(found)) != len(found):
        shape_error(f"{name}: an axis is repeated in {axis}")
    return tuple(found)


def size_of(name: str, size: Any) -> Size:
    """Check one entry of a shape."""
    if isinstance(size, SymDim) or type(size) is int:
        if type(size) is int and size < -1:
            shape_error(f"{name}: negative size {size}")
        return size
    if isinstance(size, Tracer):
        errors.fail(
            errors.TracerError,
            f"{name}: a traced value cannot be a size",
            help="sizes come from x.shape, static numbers and tw.Dim.",
        )
    try:
        return size.__index__()
    except (AttributeError, TypeError):
        errors.fail(errors.ShapeError, f"{name}: a size must be an int or a size of a shape, got {size!r}")


def shape_of(name: str, shape: Any) -> tuple[Size, ...]:
    """Check a shape given as a size or a sequence of sizes."""
    items = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    return tuple(size_of(name, item) for item in items)


def reshaped(x: Tracer, shape: tuple[Size, ...]) -> Tracer:
    """Reshape to a shape that is known to fit."""
    if _all_same(x.shape, shape):
        return x
    return recorder().emit(
        "reshape", (x,), shape, x.dtype, None, [s for s in shape if isinstance(s, SymDim)], x.weak
    )


def element_count(shape: Iterable[Size]) -> Size:
    """Product of sizes."""
    return product(shape)
