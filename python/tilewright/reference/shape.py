"""Operations that move elements without computing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray


def broadcast(x: Array, shape: Sequence[int], dims: Sequence[int]) -> Array:
    """Dimension i of x becomes dimension ``dims[i]`` of the result; the others repeat it."""
    spread = [1] * len(shape)
    for source, target in enumerate(dims):
        spread[target] = x.shape[source]
    return np.broadcast_to(x.reshape(spread), tuple(shape))


def transpose(x: Array, permutation: Sequence[int]) -> Array:
    """Dimension i of the result is dimension ``permutation[i]`` of x."""
    return np.transpose(x, tuple(permutation))


def _clamped(offset: int, extent: int, size: int) -> int:
    """Move a box of ``extent`` so that it lies inside ``size``."""
    return max(0, min(offset, size - extent))


def take_slice(x: Array, offsets: Sequence[int], sizes: Sequence[int], strides: Sequence[int]) -> Array:
    """The box of ``sizes`` elements, ``strides`` apart; offsets are clamped so that it lies inside."""
    index = []
    for offset, size, stride, length in zip(offsets, sizes, strides, x.shape):
        extent = (size - 1) * stride + 1 if size else 0
        start = _clamped(offset, extent, length)
        index.append(slice(start, start + extent, stride))
    return x[tuple(index)]


def update_slice(x: Array, update: Array, offsets: Sequence[int]) -> Array:
    """x with one box replaced; offsets are clamped so that it lies inside."""
    result = x.copy()
    starts = [_clamped(o, u, n) for o, u, n in zip(offsets, update.shape, x.shape)]
    result[tuple(slice(s, s + u) for s, u in zip(starts, update.shape))] = update
    return result


def pad(x: Array, value: Array, low: Sequence[int], high: Sequence[int]) -> Array:
    """x with a border of ``value``."""
    return np.pad(x, list(zip(low, high)), constant_values=value[()])


def iota(shape: Sequence[int], dtype: Any, axis: int) -> Array:
    """Each element is its position along ``axis``."""
    spread = [1] * len(shape)
    spread[axis] = shape[axis]
    return np.broadcast_to(np.arange(shape[axis]).astype(dtype).reshape(spread), tuple(shape))


def gather(x: Array, indices: Array, axis: int, mode: str = "clip") -> Array:
    """``numpy.take``.

    Raises:
        IndexError: in mode ``"raise"``, for an index outside ``[-n, n)``.
    """
    size = x.shape[axis]
    where = (
        indices.astype(np.int64)
        if indices.dtype != np.uint64
        else np.minimum(indices, 2**62).astype(np.int64)
    )
    if mode == "clip":
        where = np.clip(where, 0, max(size - 1, 0))
    elif mode == "wrap":
        where = (
            indices % np.asarray(size, indices.dtype) if indices.dtype == np.uint64 else np.mod(where, size)
        )
    else:
        bad = (where < -size) | (where >= size)
        if bad.any():
            raise IndexError(f"index {where[bad].flat[0]} is out of range for an axis of size {size}")
    return np.take(x, where, axis=axis)


_COMBINE = {"add": np.add, "max": np.maximum, "min": np.minimum}


def scatter(x: Array, indices: Array, updates: Array, axis: int, kind: str) -> Array:
    """x with positions along ``axis`` set or combined, one index after the other.

    Negative indices count from the end; positions out of range are left out.
    """
    result = np.moveaxis(x, axis, 0).copy()
    rows = np.moveaxis(updates, axis, 0)
    size = x.shape[axis]
    for position, index in enumerate(int(i) for i in indices):
        index += size if index < 0 else 0
        if 0 <= index < size:
            new = rows[position]
            result[index] = new if kind == "set" else _COMBINE[kind](result[index], new)
    return np.moveaxis(result, 0, axis)


TABLE: dict[str, Callable] = {
    "broadcast": broadcast,
    "transpose": transpose,
    "reshape": lambda x, shape: np.reshape(x, tuple(shape)),
    "slice": take_slice,
    "update_slice": update_slice,
    "concat": lambda *inputs, axis: np.concatenate(inputs, axis=axis),
    "pad": pad,
    "iota": iota,
    "flip": lambda x, axes: np.flip(x, tuple(axes)),
    "gather": gather,
    "scatter": scatter,
    "dim": lambda x, axis: x.shape[axis],
    "to_index": lambda x: int(x[()]),
    "from_index": lambda x: np.asarray(x, np.int64),
}
