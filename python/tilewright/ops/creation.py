"""Tensors out of nothing: constants and counted sequences. They need a running trace for sizes that are dynamic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes, errors
from ..symbols import SymDim
from ..values import Tracer
from .core import as_tracer, axis_of, broadcast, cast, emit, op, reshaped, shape_error, shape_of


@op
def full(shape: Any, fill_value: Any, *, dtype: Any = None) -> Tracer:
    """Make a tensor of one value.

    Args:
        shape: sizes; ints and sizes of other tensors.
        fill_value: a number or a 0-d tensor.
        dtype: None for that of the value (float32, int64 or bool for Python numbers).

    Raises:
        ShapeError: a size is negative, or the value is not 0-d.
        DTypeError: the dtype is not supported.

    Example:
        >>> y = tw.full((2, 3), 7, dtype="int32")
    """
    target = dtypes.of(fill_value if dtype is None else dtype)
    value = cast(as_tracer("full", fill_value, target), target)
    if value.shape:
        shape_error(f"full: the value must be 0-d, got {list(value.shape)}")
    return broadcast(value, _sizes("full", shape))


def _sizes(name: str, shape: Any) -> tuple[Any, ...]:
    sizes = shape_of(name, shape)
    if any(isinstance(size, int) and size < 0 for size in sizes):
        shape_error(f"{name}: negative size in {list(sizes)}")
    return sizes


@op
def zeros(shape: Any, *, dtype: Any = "float32") -> Tracer:
    """Make a tensor of zeros.

    Raises:
        ShapeError: a size is negative.

    Example:
        >>> y = tw.zeros((2, 3))
    """
    target = dtypes.of(dtype)
    return full(shape, False if target.is_bool else 0, dtype=target)


@op
def ones(shape: Any, *, dtype: Any = "float32") -> Tracer:
    """Make a tensor of ones.

    Raises:
        ShapeError: a size is negative.

    Example:
        >>> y = tw.ones((2, 3))
    """
    target = dtypes.of(dtype)
    return full(shape, True if target.is_bool else 1, dtype=target)


@op
def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None) -> Tracer:
    """Make a tensor of one value in the shape (and dtype) of another.

    Args:
        x: the tensor, [...].
        fill_value: a number or a 0-d tensor.
        dtype: None for that of x.

    Example:
        >>> y = tw.full_like(np.ones((2, 3), "f"), 7)
    """
    value = as_tracer("full_like", x)
    return full(value.shape, fill_value, dtype=value.dtype if dtype is None else dtype)


@op
def zeros_like(x: Any, /, *, dtype: Any = None) -> Tracer:
    """Make zeros in the shape (and dtype) of a tensor.

    Args:
        x: the tensor, [...].
        dtype: None for that of x.

    Example:
        >>> y = tw.zeros_like(np.ones((2, 3), "f"))
    """
    value = as_tracer("zeros_like", x)
    return zeros(value.shape, dtype=value.dtype if dtype is None else dtype)


@op
def ones_like(x: Any, /, *, dtype: Any = None) -> Tracer:
    """Make ones in the shape (and dtype) of a tensor.

    Args:
        x: the tensor, [...].
        dtype: None for that of x.

    Example:
        >>> y = tw.ones_like(np.ones((2, 3), "f"))
    """
    value = as_tracer("ones_like", x)
    return ones(value.shape, dtype=value.dtype if dtype is None else dtype)


@op
def iota(shape: Any, axis: int = 0, *, dtype: Any = "int64") -> Tracer:
    """Make a tensor that counts 0, 1, 2 … along one axis.

    Args:
        shape: sizes; ints and sizes of other tensors.
        axis: the axis to count along.
        dtype: a number dtype.

    Raises:
        ShapeError: the axis is out of range.
        DTypeError: bool.

    Example:
        >>> y = tw.iota((2, 3), 1)
    """
    sizes = _sizes("iota", shape)
    target = dtypes.of(dtype)
    if target.is_bool or target.is_storage:
        errors.fail(errors.DTypeError, f"iota: {target} cannot count")
    place = axis_of("iota", axis, len(sizes))
    return emit("iota", (), sizes, target, {"axis": place}, [s for s in sizes if isinstance(s, SymDim)])


@op
def arange(start: Any, stop: Any = None, step: Any = 1, /, *, dtype: Any = None) -> Tracer:
    """Count from start (inclusive) to stop (exclusive) by step.

    Args:
        start: number or size; the stop where it stands alone.
        stop: number or size.
        step: number, not 0.
        dtype: None for int64, or float32 if one of the numbers is a float.

    Raises:
        ShapeError: the step is 0.
        TracerError: a bound is a traced value.

    Example:
        >>> y = tw.arange(5)
    """
    if stop is None:
        start, stop = 0, start
    for bound in (start, stop, step):
        if isinstance(bound, Tracer):
            errors.fail(
                errors.TracerError,
                "arange: a traced value cannot be a bound, it would make the size depend on data",
                help="count to a static bound and mask with tw.where.",
            )
    if step == 0:
        shape_error("arange: step is 0")
    is_float = any(isinstance(x, float) for x in (start, stop, step))
    target = dtypes.of(("float32" if is_float else "int64") if dtype is None else dtype)
    if any(isinstance(x, SymDim) for x in (start, stop)):
        count = -((start - stop) // step)
    else:
        count = max(0, math.ceil((stop - start) / step))
    counted = iota((count,), 0, dtype=target)
    if step != 1:
        counted = counted * step
    return counted if isinstance(start, int) and start == 0 else counted + start


@op
def linspace(
    start: float, stop: float, /, num: int, *, dtype: Any = "float32", endpoint: bool = True
) -> Tracer:
    """Make evenly spaced numbers over an interval; all arguments are static.

    Args:
        start: the first number.
        stop: the end of the interval.
        num: how many numbers.
        dtype: of the result.
        endpoint: whether `stop` is the last of them.

    Example:
        >>> y = tw.linspace(0.0, 1.0, 5)
    """
    target = dtypes.of(dtype)
    points = np.linspace(start, stop, num, endpoint=endpoint).astype(target.numpy)
    return as_tracer("linspace", points)


@op
def eye(n_rows: Any, n_cols: Any = None, /, *, k: int = 0, dtype: Any = "float32") -> Tracer:
    """Make a matrix with ones on a diagonal, zeros elsewhere.

    Args:
        n_rows: the number of rows.
        n_cols: the number of columns; None for that of rows.
        k: how far above the main diagonal.
        dtype: of the result.

    Example:
        >>> y = tw.eye(3)
    """
    shape = (n_rows, n_rows if n_cols is None else n_cols)
    return cast(iota(shape, 0) + k == iota(shape, 1), dtypes.of(dtype))


@op
def asarray(x: Any, /, *, dtype: Any = None, copy: bool | None = None) -> Tracer:
    """Turn arrays, numbers and (nested) lists of numbers into a tensor.

    Raises:
        DTypeError: the dtype is not supported.

    Example:
        >>> y = tw.asarray([[1.0, 2.0], [3.0, 4.0]])
    """
    if isinstance(x, (list, tuple)):
        if any(isinstance(item, Tracer) for item in x):
            from .shape import stack

            x = stack([as_tracer("asarray", item) for item in x])
        else:
            array = np.asarray(x)
            # Lists of Python numbers take the defaults that single Python numbers take.
            default = {"f": "float32", "i": "int64", "b": "bool"}.get(array.dtype.kind)
            x = array.astype(default) if default and not any(hasattr(i, "dtype") for i in x) else array
    value = as_tracer("asarray", x)
    return value if dtype is None else cast(value, dtypes.of(dtype))


@op
def meshgrid(*arrays: Any, indexing: str = "xy") -> list[Tracer]:
    """Stretch vectors to a grid.

    Args:
        arrays: 1-d tensors.
        indexing: "xy" exchanges the first two axes, "ij" does not.

    Raises:
        ShapeError: one of them is not 1-d.

    Example:
        >>> y = tw.meshgrid(np.float32([1, 2]), np.float32([3, 4, 5]))
    """
    from .shape import swapaxes

    items = [as_tracer("meshgrid", x) for x in arrays]
    if any(x.ndim != 1 for x in items):
        shape_error("meshgrid: all arguments must be 1-d")
    shape = tuple(x.shape[0] for x in items)
    rank = len(items)
    grids = []
    for i, x in enumerate(items):
        line = reshaped(x, tuple(x.shape[0] if j == i else 1 for j in range(rank)))
        grid = broadcast(line, shape)
        grids.append(swapaxes(grid, 0, 1) if indexing == "xy" and rank > 1 else grid)
    return grids
