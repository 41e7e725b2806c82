"""Functions that rearrange through several ops: roll, tile, repeat, triangles."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from .. import dtypes, errors
from ..symbols import product, show_shape
from ..values import Tracer
from .core import as_tracer, axis_of, broadcast, op, reshaped, shape_error, shape_of
from .creation import iota
from .elementwise import greater_equal, less_equal, where
from .indexing import slice_axis
from .shape import concat


def _count(name: str, what: str, value: Any) -> int:
    if isinstance(value, (int, np.integer)):
        return int(value)
    errors.fail(errors.ArgumentError, f"{name}: {what} must be an int, got {value!r}")


@op
def roll(x: Any, /, shift: Any, axis: Any = None) -> Tracer:
    """Move elements along an axis; what leaves at the end comes back at the start.

    Args:
        x: [...].
        shift: how far, an int; or one per axis.
        axis: the axis, or a tuple of axes; None rolls the flattened tensor.

    Raises:
        ShapeError: an axis is out of range, or the counts of shifts and axes differ.
        ArgumentError: a shift is no int.

    Example:
        >>> y = tw.roll(np.ones((2, 3), "f"), 1, axis=1)
    """
    value = as_tracer("roll", x)
    if axis is None:
        return reshaped(roll(reshaped(value, (product(value.shape),)), shift, 0), value.shape)
    if isinstance(axis, (tuple, list)):
        shifts = tuple(shift) if isinstance(shift, (tuple, list)) else (shift,) * len(axis)
        if len(shifts) != len(axis):
            shape_error(f"roll: {len(shifts)} shifts for {len(axis)} axes")
        for each, place in zip(shifts, axis, strict=True):
            value = roll(value, each, place)
        return value
    place = axis_of("roll", axis, value.ndim)
    shift = _count("roll", "the shift", shift)
    size = value.shape[place]
    if isinstance(size, int):
        shift = shift % size if size else 0
    if shift == 0:
        return value
    cut = size - shift if shift > 0 else -shift
    return concat([slice_axis(value, place, cut, size), slice_axis(value, place, 0, cut)], place)


@op
def tile(x: Any, repetitions: Any, /) -> Tracer:
    """Repeat a whole tensor along its axes.

    Args:
        x: [...].
        repetitions: how often, per axis counted from the last.

    Example:
        >>> y = tw.tile(np.ones((2, 3), "f"), (2, 1))
    """
    value = as_tracer("tile", x)
    counts = shape_of("tile", repetitions)
    if builtins.any(count < 0 for count in counts if isinstance(count, int)):
        shape_error(f"tile: a negative count in {show_shape(counts)}")
    rank = builtins.max(len(counts), value.ndim)
    counts = (1,) * (rank - len(counts)) + counts
    sizes = (1,) * (rank - value.ndim) + value.shape
    paired = reshaped(value, tuple(s for size in sizes for s in (1, size)))
    stretched = broadcast(paired, tuple(s for n, size in zip(counts, sizes, strict=True) for s in (n, size)))
    return reshaped(stretched, tuple(n * size for n, size in zip(counts, sizes, strict=True)))


@op
def repeat(x: Any, repeats: int, /, axis: int | None = None) -> Tracer:
    """Repeat each element along an axis.

    Args:
        x: [...].
        repeats: how often, an int.
        axis: the axis; None flattens first.

    Raises:
        ShapeError: the axis is out of range, or `repeats` is negative.
        ArgumentError: `repeats` is no int.

    Example:
        >>> y = tw.repeat(np.ones((2, 3), "f"), 2, axis=0)
    """
    value, repeats = as_tracer("repeat", x), _count("repeat", "the number of repeats", repeats)
    if repeats < 0:
        shape_error(f"repeat: the number of repeats is {repeats}")
    if axis is None:
        value, axis = reshaped(value, (product(value.shape),)), 0
    place = axis_of("repeat", axis, value.ndim) + 1
    shape = value.shape
    wide = reshaped(value, (*shape[:place], 1, *shape[place:]))
    wide = broadcast(wide, (*shape[:place], repeats, *shape[place:]))
    return reshaped(wide, (*shape[: place - 1], shape[place - 1] * repeats, *shape[place:]))


def _triangle(name: str, x: Any, k: int, lower: bool) -> Tracer:
    value = as_tracer(name, x)
    if value.ndim < 2:
        shape_error(f"{name}: need two axes, got {show_shape(value.shape)}")
    matrix = value.shape[-2:]
    rows, columns = iota(matrix, 0), iota(matrix, 1)
    keep = (less_equal if lower else greater_equal)(columns, rows + k)
    zero = as_tracer(name, False if value.dtype is dtypes.bool_ else 0, value.dtype)
    return where(keep, value, zero)


@op
def tril(x: Any, /, k: int = 0) -> Tracer:
    """Keep the lower triangle of matrices, zero elsewhere.

    Args:
        x: [..., M, N].
        k: the last diagonal that is kept; 0 is the main one.

    Raises:
        ShapeError: x has fewer than two axes.

    Example:
        >>> y = tw.tril(np.ones((3, 3), "f"))
    """
    return _triangle("tril", x, k, True)


@op
def triu(x: Any, /, k: int = 0) -> Tracer:
    """Keep the upper triangle of matrices, zero elsewhere.

    Args:
        x: [..., M, N].
        k: the first diagonal that is kept; 0 is the main one.

    Raises:
        ShapeError: x has fewer than two axes.

    Example:
        >>> y = tw.triu(np.ones((3, 3), "f"))
    """
    return _triangle("triu", x, k, False)
