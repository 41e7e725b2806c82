"""Reductions and running sums. ``dims`` vanish from the shape; ``axis`` of a running sum stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray


def _lowest(dtype: np.dtype) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _highest(dtype: np.dtype) -> Any:
    return np.inf if dtype.kind == "f" else np.iinfo(dtype).max


def total(x: Array, dims: Sequence[int]) -> Array:
    """The sum, in the dtype of x: integers wrap."""
    return np.asarray(np.sum(x, axis=tuple(dims), dtype=x.dtype))


def product(x: Array, dims: Sequence[int]) -> Array:
    """The product, in the dtype of x: integers wrap."""
    return np.asarray(np.prod(x, axis=tuple(dims), dtype=x.dtype))


def reduce_max(x: Array, dims: Sequence[int]) -> Array:
    """The maximum; NaN wins; of nothing, the lowest value."""
    return np.asarray(np.max(x, axis=tuple(dims), initial=_lowest(x.dtype)))


def reduce_min(x: Array, dims: Sequence[int]) -> Array:
    """The minimum; NaN wins; of nothing, the highest value."""
    return np.asarray(np.min(x, axis=tuple(dims), initial=_highest(x.dtype)))


def mean(x: Array, dims: Sequence[int]) -> Array:
    """The mean; of nothing, NaN."""
    return total(x, dims) / np.asarray(_count(x, dims), x.dtype)


def variance(x: Array, dims: Sequence[int], correction: float = 0.0) -> Array:
    """Squared differences from the mean, summed, over the count minus ``correction``."""
    centre = np.expand_dims(mean(x, dims), tuple(dims))
    return total(np.square(x - centre), dims) / np.asarray(_count(x, dims) - correction, x.dtype)


def _count(x: Array, dims: Sequence[int]) -> int:
    count = 1
    for dim in dims:
        count *= x.shape[dim]
    return count


def argmax(x: Array, axis: int) -> Array:
    """The first position of the maximum; the first NaN comes before anything else."""
    return np.asarray(np.argmax(x, axis=axis)).astype(np.int64)


def argmin(x: Array, axis: int) -> Array:
    """The first position of the minimum; the first NaN comes before anything else."""
    return np.asarray(np.argmin(x, axis=axis)).astype(np.int64)


TABLE: dict[str, Callable] = {
    "sum": total,
    "prod": product,
    "reduce_max": reduce_max,
    "reduce_min": reduce_min,
    "any": lambda x, dims: np.asarray(np.any(x, axis=tuple(dims))),
    "all": lambda x, dims: np.asarray(np.all(x, axis=tuple(dims))),
    "mean": mean,
    "var": variance,
    "argmax": argmax,
    "argmin": argmin,
    "cumsum": lambda x, axis: np.cumsum(x, axis=axis, dtype=x.dtype),
    "cumprod": lambda x, axis: np.cumprod(x, axis=axis, dtype=x.dtype),
}
