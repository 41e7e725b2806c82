"""NumPy functions that are written with others: comparisons with tolerance, sums that skip NaN, diagonals, select."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import errors
from ..ops import (
    abs,
    all,
    arange,
    concat,
    equal,
    isfinite,
    isnan,
    logical_and,
    logical_not,
    logical_or,
    max,
    min,
    moveaxis,
    reshape,
    sum,
    take_along_axis,
    where,
)
from ..ops.core import as_tracer, axis_of, promoted, shape_error
from ..ops.indexing import slice_axis
from ..symbols import same, show_shape

__all__ = [
    "allclose", "array_equal", "cross", "diagonal", "isclose", "nanmax", "nanmean", "nanmin", "nansum", "select",
    "trace",
]  # fmt: skip


def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Tell where |a − b| <= atol + rtol · |b|; infinities are close to themselves alone."""
    near = logical_and(abs(a - b) <= atol + rtol * abs(b), isfinite(b))
    found = logical_or(equal(a, b), near)
    return logical_or(found, logical_and(isnan(a), isnan(b))) if equal_nan else found


def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Tell whether `isclose` holds everywhere, as a 0-d bool."""
    return all(isclose(a, b, rtol, atol, equal_nan))


def array_equal(a: Any, b: Any) -> Any:
    """Tell whether two tensors have the same shape and the same elements."""
    left, right = as_tracer("array_equal", a), as_tracer("array_equal", b)
    if len(left.shape) != len(right.shape):
        return False
    for m, n in zip(left.shape, right.shape, strict=True):
        if isinstance(m, int) and isinstance(n, int) and m != n:
            return False
        if not same(m, n):
            shape_error(
                f"array_equal: sizes {m} and {n} are compared when the program runs only", sizes=(m, n)
            )
    return all(equal(left, right))


def nansum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Add up what is not NaN."""
    return sum(where(isnan(x), 0.0, x), axis=axis, keepdims=keepdims)


def nanmean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the mean of what is not NaN; NaN where nothing is left."""
    dtype = promoted("nanmean", (x, 0.0))[0]
    count = sum(logical_not(isnan(x)), axis=axis, keepdims=keepdims, dtype=dtype)
    return nansum(x, axis, keepdims) / count


def nanmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Find the largest element that is not NaN; NaN where nothing is left."""
    found = max(where(isnan(x), -math.inf, x), axis=axis, keepdims=keepdims)
    return where(all(isnan(x), axis=axis, keepdims=keepdims), math.nan, found)


def nanmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Find the smallest element that is not NaN; NaN where nothing is left."""
    found = min(where(isnan(x), math.inf, x), axis=axis, keepdims=keepdims)
    return where(all(isnan(x), axis=axis, keepdims=keepdims), math.nan, found)


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """Take each element from the first choice whose condition holds there.

    Raises:
        ArgumentError: the lists differ in length, or are empty.
    """
    if len(condlist) != len(choicelist) or not condlist:
        errors.fail(
            errors.ArgumentError,
            f"select: {len(condlist)} conditions for {len(choicelist)} choices",
            help="give one choice for each condition, and at least one.",
        )
    found = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        found = where(condition, choice, found)
    return found


def diagonal(x: Any, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Return the diagonals of two axes as the last axis: elements i, i + offset.

    Args:
        x: [...]; the two axes have static sizes.
        offset: how far above the main diagonal.
        axis1: the axis of rows.
        axis2: the axis of columns.

    Raises:
        ShapeError: x has fewer than two axes, the axes are one, or a size of them is known at run time only.
    """
    value = as_tracer("diagonal", x)
    if value.ndim < 2 or axis_of("diagonal", axis1, value.ndim) == axis_of("diagonal", axis2, value.ndim):
        shape_error(
            f"diagonal: expected two axes of a tensor, got {axis1} and {axis2} of {show_shape(value.shape)}"
        )
    matrices = moveaxis(value, (axis1, axis2), (-2, -1))
    rows, columns = matrices.shape[-2:]
    if not (isinstance(rows, int) and isinstance(columns, int)):
        shape_error(f"diagonal: sizes {rows} and {columns} are not known while tracing")
    first = -offset if offset < 0 else 0
    count = sorted((0, rows - first, columns - first - offset))[1]
    part = slice_axis(matrices, value.ndim - 2, first, first + count)
    places = reshape(arange(count) + (first + offset), (*(1,) * (value.ndim - 2), count, 1))
    return take_along_axis(part, places, value.ndim - 1)[..., 0]


def trace(x: Any, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Add up the diagonals of two axes; see `diagonal`."""
    return sum(diagonal(x, offset, axis1, axis2), axis=-1)


def cross(a: Any, b: Any, /, *, axis: int = -1) -> Any:
    """Compute the cross product of vectors of three elements.

    Raises:
        ShapeError: a size along the axis is not 3.
    """
    left, right = as_tracer("cross", a), as_tracer("cross", b)
    place_a, place_b = axis_of("cross", axis, left.ndim), axis_of("cross", axis, right.ndim)
    if left.shape[place_a] != 3 or right.shape[place_b] != 3:
        shape_error(
            f"cross: vectors have 3 elements, got {show_shape(left.shape)} and {show_shape(right.shape)}"
        )

    def turned(x: Any, place: int, by: int) -> Any:
        return concat([slice_axis(x, place, by, 3), slice_axis(x, place, 0, by)], axis=place)

    return turned(left, place_a, 1) * turned(right, place_b, 2) - turned(left, place_a, 2) * turned(
        right, place_b, 1
    )
