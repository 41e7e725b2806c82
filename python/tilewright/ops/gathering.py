"""Picking and placing by index tensors: take, take_along_axis, scatter, one_hot."""

from __future__ import annotations

from typing import Any

from .. import dtypes, errors
from ..symbols import Size, product, same, show_shape
from ..values import Tracer
from .core import as_tracer, axis_of, broadcast_shapes, cast, emit, need, op, reshaped, shape_error, unify
from .creation import iota
from .elementwise import equal
from .shape import broadcast_to

_MODES = ("clip", "wrap", "raise")


@op
def take(x: Any, indices: Any, /, axis: int | None = None, mode: str = "raise") -> Tracer:
    """Pick positions along an axis, as `numpy.take`.

    Args:
        x: [..., N, ...].
        indices: [...] integer.
        axis: the axis; None takes from the flattened tensor.
        mode: what happens out of range: "clip" (nearest; negative is 0), "wrap" (modulo N), or "raise" (negative
            counts from the end, anything else fails when the program runs).

    Returns:
        x with the axis replaced by the axes of `indices`.

    Raises:
        ShapeError: the axis is out of range or empty.
        DTypeError: `indices` are not integers.
        ArgumentError: there is no such mode.

    Example:
        >>> y = tw.take(np.ones((4, 5), "f"), np.int64([0, 2]), axis=0)
    """
    value, places = as_tracer("take", x), need("take", as_tracer("take", indices), "int")
    if mode not in _MODES:
        errors.fail(errors.ArgumentError, f"take: mode must be 'clip', 'wrap' or 'raise', got {mode!r}")
    if axis is None:
        value, axis = reshaped(value, (product(value.shape),)), 0
    place = axis_of("take", axis, value.ndim)
    if same(value.shape[place], 0) and not same(product(places.shape), 0):
        shape_error(f"take: axis {place} of {show_shape(value.shape)} is empty")
    shape = (*value.shape[:place], *places.shape, *value.shape[place + 1 :])
    return emit("gather", (value, places), shape, value.dtype, {"axis": place, "mode": mode})


gather = take


@op
def take_along_axis(x: Any, indices: Any, /, axis: int = -1) -> Tracer:
    """Pick, for each place of `indices`, an element along an axis of x.

    Args:
        x: [..., N, ...].
        indices: integer, of the rank of x; other axes agree with x.
        axis: the axis.

    Raises:
        ShapeError: ranks or other sizes differ.

    Example:
        >>> y = tw.take_along_axis(np.ones((4, 5), "f"), np.zeros((4, 1), "i8"), axis=1)
    """
    value, places = (
        as_tracer("take_along_axis", x),
        need("take_along_axis", as_tracer("take_along_axis", indices), "int"),
    )
    place = axis_of("take_along_axis", axis, value.ndim)
    if places.ndim != value.ndim:
        shape_error(
            f"take_along_axis: ranks differ: {show_shape(value.shape)} and {show_shape(places.shape)}"
        )
    shape = list(broadcast_shapes("take_along_axis", value.shape[:place] + value.shape[place + 1 :],
                                  places.shape[:place] + places.shape[place + 1 :]))  # fmt: skip
    shape.insert(place, places.shape[place])
    linear: Any = None
    stride: Size = 1
    for i in reversed(range(value.ndim)):
        coordinate = cast(places, dtypes.int64) if i == place else iota(tuple(shape), i)
        term = coordinate * stride if not same(stride, 1) else coordinate
        linear = term if linear is None else linear + term
        stride = stride * value.shape[i]
    return take(value, linear, mode="clip")


@op
def scatter(x: Any, indices: Any, updates: Any, *, axis: int = 0, kind: str = "set") -> Tracer:
    """Return x with slices along an axis replaced or combined, one after another.

    Args:
        x: [..., N, ...].
        indices: [K] integer; places out of range are left out.
        updates: x with the axis of size K (or broadcast to it).
        axis: the axis.
        kind: "set", "add", "max" or "min".

    Raises:
        ShapeError: the shapes do not fit.
        ArgumentError: there is no such kind.

    Example:
        >>> y = tw.scatter(np.zeros((4, 2), "f"), np.int64([1, 3]), np.ones((2, 2), "f"), kind="add")
    """
    value, places = as_tracer("scatter", x), need("scatter", as_tracer("scatter", indices), "int")
    if kind not in ("set", "add", "max", "min"):
        errors.fail(errors.ArgumentError, f"scatter: kind must be 'set', 'add', 'max' or 'min', got {kind!r}")
    place = axis_of("scatter", axis, value.ndim)
    if places.ndim != 1:
        shape_error(f"scatter: indices must be 1-d, got {show_shape(places.shape)}")
    new = cast(as_tracer("scatter", updates, value.dtype), value.dtype)
    target = (*value.shape[:place], places.shape[0], *value.shape[place + 1 :])
    new = broadcast_to(new, target)
    return emit("scatter", (value, places, new), value.shape, value.dtype, {"axis": place, "kind": kind})


@op
def one_hot(x: Any, num_classes: Size, *, dtype: Any = "float32") -> Tracer:
    """Mark classes along a new last axis.

    Args:
        x: [...] integer.
        num_classes: the size of the new axis.
        dtype: of the result.

    Raises:
        DTypeError: x is no integer.

    Example:
        >>> y = tw.one_hot(np.int64([0, 2]), 3)
    """
    value = need("one_hot", as_tracer("one_hot", x), "int")
    a, b = unify("one_hot", reshaped(value, (*value.shape, 1)), iota((num_classes,), dtype=value.dtype))
    return cast(equal(a, b), dtypes.of(dtype))
