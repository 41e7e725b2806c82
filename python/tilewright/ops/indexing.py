"""Reading and writing parts of tensors: `x[...]`, take, gather, scatter, slices with bounds known at run time."""

from __future__ import annotations

import builtins
import operator
from typing import Any, NoReturn

import numpy as np

from .. import dtypes, errors
from ..symbols import Size, SymDim, bounds, ceil_div, same, show_shape
from ..values import Tracer
from .core import (
    as_tracer,
    cast,
    emit,
    op,
    recorder,
    reshaped,
    shape_error,
    shape_of,
)
from .gathering import take


def _slice(x: Tracer, offsets: list[Any], sizes: list[Size], strides: list[int]) -> Tracer:
    """Emit tw.slice; offsets are ints, sizes of shapes, or `index` values."""
    rec = recorder()
    dynamic: list[Any] = []
    static: dict[str, tuple[int, ...]] = {}
    counts = [1]
    for key, entries in (("static_offsets", offsets), ("static_sizes", sizes), ("static_strides", strides)):
        moving = [entry for entry in entries if not isinstance(entry, int)]
        static[key] = tuple(entry if isinstance(entry, int) else rec.m.dynamic for entry in entries)
        dynamic += moving
        counts.append(len(moving))
    attributes = {**static, "operandSegmentSizes": rec.m.segments(tuple(counts))}
    return emit("slice", (x,), tuple(sizes), x.dtype, attributes, dynamic)


def slice_axis(x: Tracer, axis: int, start: Size, stop: Size, step: int = 1) -> Tracer:
    """Take [start, stop) along one axis; bounds are known to lie inside."""
    size = ceil_div(stop - start, step)
    if same(start, 0) and step == 1 and same(size, x.shape[axis]):
        return x
    offsets: list[Any] = [0] * x.ndim
    sizes, strides = list(x.shape), [1] * x.ndim
    offsets[axis], sizes[axis], strides[axis] = start, size, step
    return _slice(x, offsets, sizes, strides)


def _whole(value: Any) -> int:
    try:
        return operator.index(value)
    except errors.TilewrightError:  # a size that is no number here has said so
        raise
    except TypeError:
        errors.fail(errors.ArgumentError, f"getitem: the bounds of a slice must be ints, got {value!r}")


def _bound(value: Any, size: Size, default: Size) -> Size:
    """Normalise one bound of a Python slice against a size; raises where that depends on an unknown size."""
    if value is None:
        return default
    if isinstance(value, Tracer):
        errors.fail(
            errors.TracerError,
            "a traced value cannot be the bound of a slice, it would make the size depend on data",
            help="tw.dynamic_slice(x, starts, sizes) takes traced starts and static sizes.",
        )
    if not isinstance(value, SymDim):
        value = _whole(value)
    if isinstance(size, int) and isinstance(value, int):
        return builtins.min(builtins.max(value + size if value < 0 else value, 0), size)
    low, high = bounds(value)
    if high is not None and high < 0:
        value = size + value
        low, high = bounds(value)
    if low < 0:
        shape_error(f"getitem: the bound {value} may be negative for some sizes", sizes=(value, size))
    if bounds(size - value)[0] >= 0:
        return value
    if bounds(value - size)[0] >= 0:
        return size
    shape_error(
        f"getitem: the bound {value} may lie beyond the axis of size {size}",
        help="tw.Dim(name, min=...) says how small the size can get.",
        sizes=(value, size),
    )


@op
def getitem(x: Any, key: Any) -> Tracer:
    """Index a tensor: ints, slices with any step, None, Ellipsis, and one integer tensor.

    Args:
        x: [...].
        key: as in NumPy; traced 0-d integers select one position at run time, out of range is clamped.

    Raises:
        ShapeError: an index is out of range or there are too many.
        UnsupportedOpError: boolean masks, several index tensors.

    Example:
        >>> y = tw.getitem(np.ones((4, 5), "f"), (slice(1, 3), -1))
    """
    value = as_tracer("getitem", x)
    keys = list(key) if isinstance(key, tuple) else [key]
    consumed = sum(1 for k in keys if k is not None and k is not Ellipsis)
    if consumed > value.ndim:
        shape_error(f"getitem: {consumed} indices for {show_shape(value.shape)} of rank {value.ndim}")
    if Ellipsis not in [k for k in keys if k is None or k is Ellipsis]:
        keys.append(Ellipsis)
    place = next(i for i, k in enumerate(keys) if k is Ellipsis)
    keys[place : place + 1] = [slice(None)] * (value.ndim - consumed)

    offsets: list[Any] = []
    sizes: list[Size] = []
    strides: list[int] = []
    flips: list[int] = []
    shape: list[Size] = []
    gathered: list[tuple[int, Any]] = []
    axis = 0
    for k in keys:
        if k is None:
            shape.append(1)
            continue
        size = value.shape[axis]
        if isinstance(k, slice):
            start, count, step, flipped = _slice_parts(k, size)
            if flipped:
                flips.append(axis)
            shape.append(count)
        elif _is_int(k):
            start, count, step = _position(k, size, axis, value), 1, 1
        elif _scalar_tracer(k):
            start, count, step = _traced_position(k, size), 1, 1
        else:
            gathered.append((len(shape), _index_tensor(k)))
            start, count, step = 0, size, 1
            shape.append(size)
        offsets.append(start)
        sizes.append(count)
        strides.append(step)
        axis += 1
    if len(gathered) > 1:
        _unsupported(
            "getitem: more than one index tensor", "index one axis at a time, or use tw.take on a reshape."
        )
    result = value
    whole = builtins.all(
        same(a, 0) if isinstance(a, (int, SymDim)) else False for a in offsets
    ) and builtins.all(same(a, b) for a, b in zip(sizes, value.shape, strict=True))
    if not whole:
        result = _slice(value, offsets, sizes, strides)
    if flips:
        result = emit("flip", (result,), result.shape, result.dtype, {"axes": tuple(flips)})
    result = reshaped(result, tuple(shape))
    return take(result, gathered[0][1], axis=gathered[0][0], mode="raise") if gathered else result


def _slice_parts(k: slice, size: Size) -> tuple[Size, Size, int, bool]:
    step = 1 if k.step is None else _whole(k.step)
    if step == 0:
        shape_error("getitem: slice step is 0")
    if step > 0:
        start, stop = _bound(k.start, size, 0), _bound(k.stop, size, size)
        count = ceil_div(stop - start, step)
        if isinstance(count, int):
            count = builtins.max(count, 0)
        return (start if not same(count, 0) else 0), count, step, False
    # A negative step reads the same places in the other order: slice upwards, then flip.
    if isinstance(size, int):
        first, last = (None if bound is None else _whole(bound) for bound in (k.start, k.stop))
        places = range(size)[first:last:step]
        count = len(places)
        return (places[-1] if count else 0), count, -step, True
    if k.start is not None or k.stop is not None:
        shape_error(
            f"getitem: negative steps on an axis of size {size} take the whole axis only, as in x[::-1]",
            help="flip first: tw.flip(x, axis=0)[start:stop:step], with bounds that count from the end.",
        )
    # From the last place down by -step: the lowest place is what is left of size - 1.
    count = ceil_div(size, -step)
    return size - 1 + (count - 1) * step, count, -step, True


def _is_int(k: Any) -> bool:
    return (isinstance(k, (int, np.integer)) and not isinstance(k, bool)) or isinstance(k, SymDim)


def _scalar_tracer(k: Any) -> bool:
    return isinstance(k, Tracer) and not k.shape and k.dtype.is_integer


def _position(k: Any, size: Size, axis: int, x: Tracer) -> Size:
    index: Size = k if isinstance(k, SymDim) else int(k)
    high = bounds(index)[1]
    if high is not None and high < 0:
        index = size + index
    if isinstance(index, int) and isinstance(size, int):
        fits = 0 <= index < size
    else:
        fits = bounds(index)[0] >= 0 and bounds(size - index)[0] >= 1
    if not fits:
        shape_error(
            f"getitem: index {k} is out of range for axis {axis} of {show_shape(x.shape)}",
            help=f"valid: {-size} to {size - 1}."
            if isinstance(size, int)
            else "tw.Dim(name, min=...) helps.",
            sizes=(index, size),
        )
    return index


def _traced_position(k: Tracer, size: Size) -> Any:
    """Clamp a run-time position into the axis, counting from the end when negative."""
    return _start(k, size - 1, wrap=size)


def _start(k: Any, last: Size, wrap: Size | None = None) -> Any:
    """An `index` value for a start that is clamped to [0, last]."""
    rec = recorder()
    scope, m = rec.scope, rec.m
    if isinstance(k, (int, SymDim)):
        if bounds(k)[0] >= 0 and bounds(last - k)[0] >= 0:
            return k
        if isinstance(k, int) and isinstance(last, int):
            return builtins.min(builtins.max(k, 0), last)
        raw = scope.index(k)
    else:
        raw = scope.make("tw.to_index", [scope.use(cast(k, dtypes.int64))], [m.index])
    zero = scope.index(0)
    if wrap is not None:
        # raw + size * (raw < 0), with only the index arithmetic that stage `traced` admits.
        below = scope.make(
            "arith.maxsi", [scope.make("arith.minsi", [raw, zero], [m.index]), scope.index(-1)], [m.index]
        )
        raw = scope.make(
            "arith.subi", [raw, scope.make("arith.muli", [below, scope.index(wrap)], [m.index])], [m.index]
        )
    low_clamped = scope.make("arith.maxsi", [raw, zero], [m.index])
    return scope.make("arith.minsi", [low_clamped, scope.index(last)], [m.index])


def _index_tensor(k: Any) -> Any:
    if isinstance(k, list):
        k = np.asarray(k)
    dtype = dtypes.of(getattr(k, "dtype", k))
    if dtype.is_bool:
        _unsupported(
            "getitem: a boolean mask makes the size of the result depend on data",
            "use tw.where(mask, x, other), or tw.sum(tw.where(mask, x, 0)).",
        )
    if not dtype.is_integer:
        errors.fail(errors.DTypeError, f"getitem: an index must be an integer, got {dtype}")
    return k


def _unsupported(message: str, help: str) -> NoReturn:
    errors.fail(errors.UnsupportedOpError, message, help=help)


@op
def dynamic_slice(x: Any, starts: Any, sizes: Any) -> Tracer:
    """Cut out a box whose place is known at run time and whose sizes are not data.

    Args:
        x: [...].
        starts: per axis a number, size or traced 0-d integer; clamped so that the box lies inside.
        sizes: per axis a size.

    Raises:
        ShapeError: the counts differ from the rank, or the box is larger than x.

    Example:
        >>> y = tw.dynamic_slice(np.ones((4, 5), "f"), (1, 0), (2, 5))
    """
    value, shape = as_tracer("dynamic_slice", x), shape_of("dynamic_slice", sizes)
    offsets = _starts("dynamic_slice", value, starts, shape)
    return _slice(value, offsets, list(shape), [1] * value.ndim)


def _starts(name: str, x: Tracer, starts: Any, shape: tuple[Size, ...]) -> list[Any]:
    items = list(starts) if isinstance(starts, (tuple, list)) else [starts]
    if len(items) != x.ndim or len(shape) != x.ndim:
        shape_error(f"{name}: {len(items)} starts and {len(shape)} sizes for rank {x.ndim}")
    offsets = []
    for start, size, whole in zip(items, shape, x.shape, strict=True):
        if isinstance(size, int) and isinstance(whole, int) and size > whole:
            shape_error(f"{name}: the box {show_shape(shape)} is larger than {show_shape(x.shape)}")
        if isinstance(start, np.integer):
            start = int(start)
        if not isinstance(start, (int, SymDim)):
            start = as_tracer(name, start)
            if start.shape or not start.dtype.is_integer:
                errors.fail(errors.DTypeError, f"{name}: a start must be a 0-d integer, got {start!r}")
        offsets.append(_start(start, whole - size))
    return offsets


@op
def update_slice(x: Any, update: Any, starts: Any) -> Tracer:
    """Return x with a box replaced; in place where x is not needed afterwards.

    Args:
        x: [...].
        update: a tensor of the rank of x.
        starts: per axis a number, size or traced 0-d integer; clamped so that the box lies inside.

    Raises:
        ShapeError: the ranks differ, or `update` is larger than x.

    Example:
        >>> y = tw.update_slice(np.zeros((4, 5), "f"), np.ones((1, 5), "f"), (2, 0))
    """
    value = as_tracer("update_slice", x)
    new = cast(as_tracer("update_slice", update, value.dtype), value.dtype)
    offsets = _starts("update_slice", value, starts, new.shape)
    rec = recorder()
    moving = [entry for entry in offsets if not isinstance(entry, int)]
    static = tuple(entry if isinstance(entry, int) else rec.m.dynamic for entry in offsets)
    return emit("update_slice", (value, new), value.shape, value.dtype, {"static_offsets": static}, moving)


dynamic_update_slice = update_slice
