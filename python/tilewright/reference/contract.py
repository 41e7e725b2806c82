"""Contractions and windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray


def dot_general(
    lhs: Array,
    rhs: Array,
    lhs_batch: Sequence[int] = (),
    rhs_batch: Sequence[int] = (),
    lhs_contract: Sequence[int] = (),
    rhs_contract: Sequence[int] = (),
    dtype: Any = None,
    precision: str | None = None,
) -> Array:
    """Multiply and sum over paired dimensions.

    Args:
        precision: what targets may round factors to; here they stay as they are.

    Returns:
        The batch dimensions, the free ones of lhs, the free ones of rhs, in ``dtype`` (that of lhs by default):
        integers multiply and wrap in it.
    """
    dtype = np.dtype(dtype or (np.float32 if lhs.dtype.name.startswith("float8") else lhs.dtype))
    lhs_free = [d for d in range(lhs.ndim) if d not in (*lhs_batch, *lhs_contract)]
    rhs_free = [d for d in range(rhs.ndim) if d not in (*rhs_batch, *rhs_contract)]
    batch = [lhs.shape[d] for d in lhs_batch]
    rows, columns = [lhs.shape[d] for d in lhs_free], [rhs.shape[d] for d in rhs_free]
    depth = [lhs.shape[d] for d in lhs_contract]
    a = lhs.astype(dtype).transpose(*lhs_batch, *lhs_free, *lhs_contract)
    b = rhs.astype(dtype).transpose(*rhs_batch, *rhs_contract, *rhs_free)
    b_, m, k, n = (int(np.prod(dims)) for dims in (batch, rows, depth, columns))
    return np.matmul(a.reshape(b_, m, k), b.reshape(b_, k, n)).reshape((*batch, *rows, *columns))


def _windows(
    x: Array,
    window: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    low: Sequence[int],
    high: Sequence[int],
    border: Any,
) -> Array:
    """View ``[N, C, spatial…]`` as ``[N, C, positions…, window…]``, padded with ``border``."""
    x = np.pad(x, [(0, 0), (0, 0), *zip(low, high)], constant_values=border)
    spans = [(w - 1) * d + 1 for w, d in zip(window, dilations)]
    axes = tuple(range(2, x.ndim))
    view = np.lib.stride_tricks.sliding_window_view(x, spans, axis=axes)
    steps = tuple(slice(None, None, s) for s in strides)
    inner = tuple(slice(None, None, d) for d in dilations)
    return view[(slice(None), slice(None), *steps, *inner)]


def conv(
    x: Array,
    filter: Array,
    strides: Sequence[int],
    dilations: Sequence[int],
    low: Sequence[int],
    high: Sequence[int],
    groups: int = 1,
    precision: str | None = None,
) -> Array:
    """Cross-correlate ``[N, C, spatial…]`` with ``[O, C / groups, window…]``; factors are never rounded."""
    spatial = x.ndim - 2
    view = _windows(x, filter.shape[2:], strides, dilations, low, high, 0)
    positions = view.shape[2 : 2 + spatial]
    outputs = filter.shape[0] // groups
    # [N, g, C/g, positions…, window…] with [g, O/g, C/g, window…]
    view = view.reshape(x.shape[0], groups, x.shape[1] // groups, *view.shape[2:])
    weights = filter.reshape(groups, outputs, *filter.shape[1:])
    parts = []
    for group in range(groups):
        axes = ([1, *range(2 + spatial, 2 + 2 * spatial)], [1, *range(2, 2 + spatial)])
        parts.append(np.moveaxis(np.tensordot(view[:, group], weights[group], axes=axes), -1, 1))
    return np.concatenate(parts, axis=1).reshape(x.shape[0], filter.shape[0], *positions)


def pool(
    x: Array,
    kind: str,
    window: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    low: Sequence[int],
    high: Sequence[int],
) -> Array:
    """The maximum or the sum of a moving window; padding takes no part."""
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    view = _windows(x, window, strides, dilations, low, high, lowest if kind == "max" else 0)
    axes = tuple(range(x.ndim, view.ndim))
    if kind == "max":
        return np.max(view, axis=axes)
    return np.sum(view, axis=axes, dtype=x.dtype)


TABLE: dict[str, Callable] = {"dot_general": dot_general, "conv": conv, "pool": pool}
