"""Reductions and running sums. `axis` is None (all axes), an int or a tuple; `keepdims` leaves sizes of 1."""

from __future__ import annotations

from typing import Any

from .. import dtypes
from ..symbols import product
from ..values import Tracer
from .core import (
    as_tracer,
    axes_of,
    axis_of,
    cast,
    emit,
    floating,
    need,
    op,
    reshaped,
    shape_error,
    unify,
)
from .elementwise import divide, exp, isfinite, log, not_equal, sqrt, subtract, where

_DOC = """{text}

Args:
    x: [...] {kind}.
    axis: axes to reduce; None for all.
    keepdims: keep reduced axes with size 1.{more}

Returns:
    {returns}.

Raises:
    DTypeError: x is not {kind}.
    ShapeError: an axis is out of range{empty}.

Example:
    >>> y = tw.{name}(np.{sample}, axis=1)
"""


def _finish(x: Tracer, axes: tuple[int, ...], keepdims: bool, source: Tracer) -> Tracer:
    if not keepdims:
        return x
    return reshaped(x, tuple(1 if i in axes else size for i, size in enumerate(source.shape)))


def _without(x: Tracer, axes: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple(size for i, size in enumerate(x.shape) if i not in axes)


def _reduction(name: str, mnemonic: str, kind: str, text: str, sample: str = "ones((2, 3), 'f')") -> Any:
    empty_ok = mnemonic in ("sum", "prod", "any", "all")

    def fn(x: Any, /, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Tracer:
        value = as_tracer(name, x)
        if dtype is not None:
            value = cast(value, dtypes.of(dtype))
        elif mnemonic in ("sum", "prod") and value.dtype.is_bool:
            value = cast(value, dtypes.DEFAULT_INT)
        elif mnemonic in ("any", "all") and not value.dtype.is_bool:
            value = not_equal(value, 0)
        elif mnemonic == "mean":
            # The mean of bools is the share that holds.
            value = cast(value, dtypes.DEFAULT_FLOAT) if value.dtype.is_bool else floating(name, value)
        need(name, value, kind)
        axes = axes_of(name, axis, value.ndim)
        if not empty_ok and 0 in [value.shape[i] for i in axes if isinstance(value.shape[i], int)]:
            shape_error(f"{name}: axis of size 0 in {list(value.shape)} has no {name}")
        if not axes:
            return value
        result = emit(mnemonic, (value,), _without(value, axes), value.dtype, {"dims": axes})
        return _finish(result, axes, keepdims, value)

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = _DOC.format(
        text=text,
        kind={
            "bool": "bool, or number compared with 0",
            "float": "float, integer or bool",
            "number": "number",
        }[kind],
        more="\n    dtype: what to convert to before adding up."
        if mnemonic in ("sum", "prod", "mean")
        else "",
        returns="bool, without the axes" if kind == "bool" else "the dtype of x, without the axes",
        empty="" if empty_ok else ", or empty",
        name=name,
        sample=sample,
    )
    return op(fn)


def _is_zero(size: Any) -> bool:
    return isinstance(size, int) and size == 0


sum = _reduction("sum", "sum", "number", "Add up elements; bools count as int64.")
prod = _reduction("prod", "prod", "number", "Multiply elements; bools count as int64.")
max = _reduction("max", "reduce_max", "number", "Find the largest element; NaN wins.")
min = _reduction("min", "reduce_min", "number", "Find the smallest element; NaN wins.")
mean = _reduction("mean", "mean", "float", "Compute the arithmetic mean; integers and bools become float32.")
any = _reduction("any", "any", "bool", "Tell whether some element holds.", "ones((2, 3), '?')")
all = _reduction("all", "all", "bool", "Tell whether every element holds.", "ones((2, 3), '?')")


@op
def var(
    x: Any, /, axis: Any = None, correction: float = 0.0, keepdims: bool = False, ddof: float | None = None
) -> Tracer:
    """Compute the variance: the mean square distance from the mean.

    Args:
        x: [...] float, or integer that becomes float32.
        axis: axes to reduce; None for all.
        correction: what is subtracted from the count (1 for samples); NumPy's `ddof`.
        keepdims: keep reduced axes with size 1.

    Returns:
        The dtype of x, without the axes.

    Raises:
        DTypeError: x is a bool.
        ShapeError: an axis is out of range.

    Example:
        >>> y = tw.var(np.ones((2, 3), "f"), axis=1)
    """
    value = floating("var", x)
    axes = axes_of("var", axis, value.ndim)
    amount = float(correction if ddof is None else ddof)
    if not axes:
        return subtract(value, value)
    result = emit("var", (value,), _without(value, axes), value.dtype, {"dims": axes, "correction": amount})
    return _finish(result, axes, keepdims, value)


@op
def std(
    x: Any, /, axis: Any = None, correction: float = 0.0, keepdims: bool = False, ddof: float | None = None
) -> Tracer:
    """Compute the standard deviation: the root of `var`, with the same arguments.

    Args:
        x: [...] float, or integer that becomes float32.
        axis: axes to reduce; None for all.
        correction: what is subtracted from the count; NumPy's `ddof`.
        keepdims: keep reduced axes with size 1.

    Raises:
        DTypeError: x is a bool.
        ShapeError: an axis is out of range.

    Example:
        >>> y = tw.std(np.ones((2, 3), "f"), axis=1)
    """
    return sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims, ddof=ddof))


def _position(name: str, text: str) -> Any:
    def fn(x: Any, /, axis: int | None = None, keepdims: bool = False) -> Tracer:
        value = need(name, as_tracer(name, x), "number")
        source = value
        if axis is None:
            value, place = reshaped(value, (product(value.shape),)), 0
        else:
            place = axis_of(name, axis, value.ndim)
        if _is_zero(value.shape[place]):
            shape_error(f"{name}: axis {axis} of {list(source.shape)} is empty")
        result = emit(name, (value,), _without(value, (place,)), dtypes.int64, {"axis": place})
        if not keepdims:
            return result
        axes = tuple(range(source.ndim)) if axis is None else (place,)
        return _finish(result, axes, True, source)

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = (
        f"{text}\n\nArgs:\n    x: [...] number.\n    axis: the axis to search; None for the flattened tensor.\n"
        "    keepdims: keep the axis with size 1.\n\nReturns:\n    int64 positions; the first where several win.\n\n"
        "Raises:\n    DTypeError: x is a bool.\n    ShapeError: the axis is out of range or empty.\n\n"
        f"Example:\n    >>> y = tw.{name}(np.ones((2, 3), 'f'), axis=1)\n"
    )
    return op(fn)


argmax = _position("argmax", "Find the position of the largest element; NaN wins.")
argmin = _position("argmin", "Find the position of the smallest element; NaN wins.")


def _running(name: str, text: str) -> Any:
    def fn(x: Any, /, axis: int | None = None, dtype: Any = None) -> Tracer:
        value = as_tracer(name, x)
        if dtype is not None:
            value = cast(value, dtypes.of(dtype))
        elif value.dtype.is_bool:
            value = cast(value, dtypes.DEFAULT_INT)
        need(name, value, "number")
        if axis is None:
            value, axis = reshaped(value, (product(value.shape),)), 0
        return emit(name, (value,), value.shape, value.dtype, {"axis": axis_of(name, axis, value.ndim)})

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = (
        f"{text}\n\nArgs:\n    x: [...] number; bools count as int64.\n    axis: the axis to run along; None flattens"
        " first.\n    dtype: what to convert to first.\n\nReturns:\n    The shape and dtype of x.\n\nRaises:\n"
        "    ShapeError: the axis is out of range.\n\n"
        f"Example:\n    >>> y = tw.{name}(np.ones((2, 3), 'f'), axis=1)\n"
    )
    return op(fn)


cumsum = _running("cumsum", "Add up elements along an axis, keeping each partial sum.")
cumprod = _running("cumprod", "Multiply elements along an axis, keeping each partial product.")


@op
def count_nonzero(x: Any, /, axis: Any = None, keepdims: bool = False) -> Tracer:
    """Count the elements that are not zero.

    Args:
        x: [...].
        axis: axes to reduce; None for all.
        keepdims: keep reduced axes with size 1.

    Returns:
        int64, without the axes.

    Raises:
        ShapeError: an axis is out of range.

    Example:
        >>> y = tw.count_nonzero(np.float32([0, 2]))
    """
    value = as_tracer("count_nonzero", x)
    mask = value if value.dtype.is_bool else not_equal(value, 0)
    return sum(cast(mask, dtypes.int64), axis=axis, keepdims=keepdims)


@op
def logsumexp(x: Any, /, axis: Any = None, keepdims: bool = False) -> Tracer:
    """Compute log(sum(exp(x))) without overflow.

    Args:
        x: [...] float.
        axis: axes to reduce; None for all.
        keepdims: keep reduced axes with size 1.

    Raises:
        DTypeError: x is a bool.
        ShapeError: an axis is out of range or empty.

    Example:
        >>> y = tw.logsumexp(np.ones((2, 3), "f"), axis=1)
    """
    value = floating("logsumexp", x)
    peak = max(value, axis=axis, keepdims=True)
    # An infinite peak would be subtracted from itself: with 0 in its place exp and log carry it through.
    peak = where(isfinite(peak), peak, 0.0)
    total = log(sum(exp(value - peak), axis=axis, keepdims=True)) + peak
    if keepdims:
        return total
    axes = axes_of("logsumexp", axis, value.ndim)
    return reshaped(total, _without(value, axes))


@op
def average(x: Any, /, axis: Any = None, weights: Any = None) -> Tracer:
    """Compute the mean, weighted where weights are given.

    Args:
        x: [...] float, or integer that becomes float32.
        axis: axes to reduce; None for all.
        weights: broadcast against x, or None.

    Raises:
        ShapeError: the shapes do not broadcast.

    Example:
        >>> y = tw.average(np.ones((2, 3), "f"), axis=1)
    """
    if weights is None:
        return mean(x, axis=axis)
    value, scale = unify("average", floating("average", x), floating("average", weights))
    return divide(sum(value * scale, axis=axis), sum(scale, axis=axis))
