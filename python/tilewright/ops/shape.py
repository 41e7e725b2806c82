"""Functions that move elements without computing: reshape, transpose, broadcast, join, split, pad, flip."""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import errors
from ..symbols import Size, SymDim, product, same, show_shape
from ..values import Tracer
from .core import (
    as_tracer,
    axes_of,
    axis_of,
    broadcast,
    broadcast_shapes,
    cast,
    emit,
    op,
    promoted,
    reshaped,
    shape_error,
    shape_of,
)


@op
def reshape(x: Any, /, shape: Any, copy: bool | None = None) -> Tracer:
    """Give the elements, in row-major order, another shape.

    Args:
        x: [...].
        shape: sizes with the same product; one of them may be -1.

    Raises:
        ShapeError: the number of elements differs, or cannot be shown to be the same.

    Example:
        >>> y = tw.reshape(np.ones((2, 6), "f"), (3, -1))
    """
    value = as_tracer("reshape", x)
    sizes = list(shape_of("reshape", shape))
    holes = [i for i, size in enumerate(sizes) if type(size) is int and size == -1]
    total = product(value.shape)
    if len(holes) > 1:
        shape_error(f"reshape: only one size may be -1, got {show_shape(sizes)}")
    if holes:
        known = product(size for i, size in enumerate(sizes) if i != holes[0])
        quotient: Any = total // known if not same(known, 0) else 0
        if same(known, 0) or not same(quotient * known, total):
            shape_error(
                f"reshape: {show_shape(value.shape)} does not divide into {show_shape(sizes)}",
                help="say that a size is a multiple: tw.Dim(name, multiple_of=...)."
                if isinstance(total, SymDim)
                else None,
                sizes=(total,),
            )
        sizes[holes[0]] = quotient
    elif not same(product(sizes), total):
        shape_error(
            f"reshape: {show_shape(value.shape)} has {total} elements, {show_shape(sizes)} has {product(sizes)}",
            sizes=(total, product(sizes)),
        )
    return reshaped(value, tuple(sizes))


@op
def transpose(x: Any, /, axes: Any = None) -> Tracer:
    """Reorder axes.

    Args:
        x: [...].
        axes: the axis of x for each axis of the result; None reverses all.

    Raises:
        ShapeError: `axes` is no permutation of the axes of x.

    Example:
        >>> y = tw.transpose(np.ones((2, 3, 4), "f"), (0, 2, 1))
    """
    value = as_tracer("transpose", x)
    if axes is None:
        order = tuple(reversed(range(value.ndim)))
    else:
        order = tuple(axis_of("transpose", axis, value.ndim) for axis in axes)
    if sorted(order) != list(range(value.ndim)):
        shape_error(f"transpose: axes {order} are no permutation of the {value.ndim} axes of x")
    if order == tuple(range(value.ndim)):
        return value
    return emit(
        "transpose", (value,), tuple(value.shape[i] for i in order), value.dtype, {"permutation": order}
    )


@op
def matrix_transpose(x: Any, /) -> Tracer:
    """Exchange the last two axes.

    Args:
        x: [..., M, N].

    Raises:
        ShapeError: x has fewer than two axes.

    Example:
        >>> y = tw.matrix_transpose(np.ones((2, 3, 4), "f"))
    """
    value = as_tracer("matrix_transpose", x)
    if value.ndim < 2:
        shape_error(f"matrix_transpose: need two axes, got {show_shape(value.shape)}")
    return swapaxes(value, -1, -2)


@op
def swapaxes(x: Any, axis1: int, axis2: int) -> Tracer:
    """Exchange two axes.

    Args:
        x: [...].

    Raises:
        ShapeError: an axis is out of range.

    Example:
        >>> y = tw.swapaxes(np.ones((2, 3, 4), "f"), 0, 2)
    """
    value = as_tracer("swapaxes", x)
    a, b = (axis_of("swapaxes", axis, value.ndim) for axis in (axis1, axis2))
    order = list(range(value.ndim))
    order[a], order[b] = order[b], order[a]
    return transpose(value, order)


@op
def moveaxis(x: Any, source: Any, destination: Any) -> Tracer:
    """Move axes to other places; the rest keep their order.

    Args:
        x: [...].
        source: an axis or a tuple of axes.
        destination: where each of them goes.

    Raises:
        ShapeError: an axis is out of range, or the two differ in length.

    Example:
        >>> y = tw.moveaxis(np.ones((2, 3, 4), "f"), 0, -1)
    """
    value = as_tracer("moveaxis", x)

    def listed(axis: Any) -> list[int]:
        items = axis if isinstance(axis, (tuple, list)) else (axis,)
        return [axis_of("moveaxis", item, value.ndim) for item in items]

    sources, places = listed(source), listed(destination)
    if len(sources) != len(places):
        shape_error(f"moveaxis: {len(sources)} axes for {len(places)} places")
    rest = iter([axis for axis in range(value.ndim) if axis not in sources])
    taken = dict(zip(places, sources, strict=True))
    return transpose(value, [taken[i] if i in taken else next(rest) for i in range(value.ndim)])


@op
def broadcast_to(x: Any, /, shape: Any) -> Tracer:
    """Repeat along axes of size 1 and along new leading axes.

    Args:
        x: [...].
        shape: the shape to reach.

    Raises:
        ShapeError: a size of x is neither 1 nor the size asked for.

    Example:
        >>> y = tw.broadcast_to(np.ones((1, 3), "f"), (4, 3))
    """
    value, target = as_tracer("broadcast_to", x), shape_of("broadcast_to", shape)
    skip = len(target) - value.ndim
    fits = skip >= 0 and builtins.all(
        same(size, 1) or same(size, target[skip + i]) for i, size in enumerate(value.shape)
    )
    if not fits:
        shape_error(
            f"broadcast_to: {show_shape(value.shape)} does not stretch to {show_shape(target)}",
            sizes=(*value.shape, *target),
        )
    return broadcast(value, target)


@op
def broadcast_arrays(*arrays: Any) -> list[Tracer]:
    """Stretch tensors to their common shape; dtypes stay.

    Raises:
        ShapeError: the shapes do not broadcast.

    Example:
        >>> y = tw.broadcast_arrays(np.ones((1, 3), "f"), np.ones((2, 1), "f"))
    """
    tracers = [as_tracer("broadcast_arrays", x) for x in arrays]
    if not tracers:
        return []
    shape = broadcast_shapes("broadcast_arrays", *[x.shape for x in tracers])
    return [broadcast(x, shape) for x in tracers]


@op
def expand_dims(x: Any, /, axis: Any = 0) -> Tracer:
    """Insert axes of size 1.

    Args:
        x: [...].
        axis: where the new axes are in the result; an int or a tuple.

    Raises:
        ShapeError: an axis is out of range.

    Example:
        >>> y = tw.expand_dims(np.ones(3, "f"), axis=0)
    """
    value = as_tracer("expand_dims", x)
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    places = axes_of("expand_dims", axis, value.ndim + count)
    rest = iter(value.shape)
    return reshaped(value, tuple(1 if i in places else next(rest) for i in range(value.ndim + count)))


@op
def squeeze(x: Any, /, axis: Any = None) -> Tracer:
    """Remove axes of size 1.

    Args:
        x: [...].
        axis: which ones; None for all whose size is 1.

    Raises:
        ShapeError: an axis has another size.

    Example:
        >>> y = tw.squeeze(np.ones((1, 3), "f"), axis=0)
    """
    value = as_tracer("squeeze", x)
    if axis is None:
        axes = tuple(i for i, size in enumerate(value.shape) if same(size, 1))
    else:
        axes = axes_of("squeeze", axis, value.ndim)
    for i in axes:
        if not same(value.shape[i], 1):
            shape_error(f"squeeze: axis {i} of {show_shape(value.shape)} has size {value.shape[i]}, not 1")
    return reshaped(value, tuple(size for i, size in enumerate(value.shape) if i not in axes))


@op
def concat(arrays: Any, /, axis: int | None = 0) -> Tracer:
    """Join tensors along an axis.

    Args:
        arrays: tensors that agree in all other sizes; dtypes are promoted.
        axis: the axis; None flattens first.

    Raises:
        ShapeError: there is none, or ranks or other sizes differ.
        DTypeError: the dtypes do not mix.

    Example:
        >>> y = tw.concat([np.ones((2, 3), "f"), np.ones((4, 3), "f")])
    """
    items = list(arrays)
    if not items:
        shape_error("concat: there is nothing to join")
    dtype, _ = promoted("concat", tuple(items))
    tracers = [cast(as_tracer("concat", x, dtype), dtype) for x in items]
    if axis is None:
        tracers, axis = [reshaped(x, (product(x.shape),)) for x in tracers], 0
    first = tracers[0]
    place = axis_of("concat", axis, first.ndim)
    total: Size = 0
    for x in tracers:
        if x.ndim != first.ndim or not builtins.all(
            same(a, b) for i, (a, b) in enumerate(zip(x.shape, first.shape, strict=True)) if i != place
        ):
            shape_error(
                f"concat: shapes {show_shape(first.shape)} and {show_shape(x.shape)} differ off axis {place}",
                sizes=(*first.shape, *x.shape),
            )
        total = total + x.shape[place]
    shape = (*first.shape[:place], total, *first.shape[place + 1 :])
    return first if len(tracers) == 1 else emit("concat", tracers, shape, dtype, {"axis": place})


@op
def stack(arrays: Any, /, axis: int = 0) -> Tracer:
    """Join tensors of one shape along a new axis.

    Args:
        arrays: tensors of the same shape; dtypes are promoted.
        axis: where the new axis is in the result.

    Raises:
        ShapeError: the shapes differ.
        DTypeError: the dtypes do not mix.

    Example:
        >>> y = tw.stack([np.ones(3, "f"), np.zeros(3, "f")])
    """
    items = [as_tracer("stack", x) for x in arrays]
    for x in items:
        if x.ndim != items[0].ndim or not builtins.all(map(same, x.shape, items[0].shape)):
            shape_error(f"stack: shapes {show_shape(items[0].shape)} and {show_shape(x.shape)} differ")
    return concat(
        [expand_dims(x, axis) for x in items], axis_of("stack", axis, items[0].ndim + 1) if items else 0
    )


@op
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tracer]:
    """Cut a tensor along an axis.

    Args:
        x: [...].
        indices_or_sections: the number of equal parts, or the places to cut at, which count and clamp as the bounds of
            slices do.
        axis: the axis.

    Raises:
        ShapeError: the axis does not divide evenly, or a place may lie beyond an axis of unknown size.
        ArgumentError: neither a number of parts nor places are given.

    Example:
        >>> y = tw.split(np.ones((6, 2), "f"), 3)
    """
    from .indexing import getitem, slice_axis

    value = as_tracer("split", x)
    place = axis_of("split", axis, value.ndim)
    size = value.shape[place]
    if isinstance(indices_or_sections, (int, np.integer)):
        indices_or_sections = int(indices_or_sections)
        part: Any = size // indices_or_sections if indices_or_sections > 0 else 0
        if indices_or_sections < 1 or not same(part * indices_or_sections, size):
            shape_error(
                f"split: axis {place} of {show_shape(value.shape)} has no {indices_or_sections} equal parts"
            )
        cuts = [part * i for i in range(indices_or_sections + 1)]
        return [slice_axis(value, place, a, b) for a, b in itertools.pairwise(cuts)]
    if not isinstance(indices_or_sections, Iterable):
        errors.fail(
            errors.ArgumentError,
            f"split: expected a number of parts, or the places to cut at, got {indices_or_sections!r}",
        )
    ahead = (slice(None),) * place
    places = [None, *indices_or_sections, None]
    return [getitem(value, (*ahead, slice(a, b))) for a, b in itertools.pairwise(places)]


@op
def pad(x: Any, /, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Tracer:
    """Add elements of one value around a tensor.

    Args:
        x: [...].
        pad_width: an int for all sides, a (before, after) pair for all axes, or one pair per axis.
        constant_values: a number, or a 0-d tensor of the dtype of x.

    Raises:
        ShapeError: a width is negative or the pairs do not match the axes.
        UnsupportedOpError: another mode is asked for.

    Example:
        >>> y = tw.pad(np.ones((2, 3), "f"), ((1, 1), (0, 2)))
    """
    value = as_tracer("pad", x)
    if mode != "constant":
        errors.fail(
            errors.UnsupportedOpError, f"pad: mode {mode!r} is not supported", help="use mode='constant'."
        )
    try:
        widths = np.asarray(pad_width)
        pairs = np.broadcast_to(widths, (value.ndim, 2)).tolist() if widths.dtype.kind in "iu" else None
    except (TypeError, ValueError):
        pairs = None
    if pairs is None or builtins.any(p < 0 for pair in pairs for p in pair):
        shape_error(
            f"pad: widths {pad_width} do not fit {show_shape(value.shape)}: one pair of sizes >= 0 per axis"
        )
    low, high = (tuple(pair[side] for pair in pairs) for side in (0, 1))
    if not builtins.any(low) and not builtins.any(high):
        return value
    fill = cast(as_tracer("pad", constant_values, value.dtype), value.dtype)
    shape = tuple(size + a + b for size, a, b in zip(value.shape, low, high, strict=True))
    return emit("pad", (value, fill), shape, value.dtype, {"low": low, "high": high})


@op
def flip(x: Any, /, axis: Any = None) -> Tracer:
    """Reverse the order along axes.

    Args:
        x: [...].
        axis: an axis or a tuple of axes; None for all.

    Raises:
        ShapeError: an axis is out of range.

    Example:
        >>> y = tw.flip(np.ones((2, 3), "f"), axis=1)
    """
    value = as_tracer("flip", x)
    axes = axes_of("flip", axis, value.ndim)
    return emit("flip", (value,), value.shape, value.dtype, {"axes": axes}) if axes else value
