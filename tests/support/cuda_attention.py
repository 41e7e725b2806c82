"""Attention in float64, and what its programs take: shared by the tests of its kernels on a GPU."""

from __future__ import annotations

import numpy as np
import tilewright as tw


def attention(q, k, v, mask=None, *, causal=False):
    """In float64; heads of q share those of k and v. Rows that see nothing are no numbers."""
    k, v = (np.repeat(x, q.shape[1] // k.shape[1], axis=1) for x in (k, v))
    scores = np.einsum("bhsd,bhtd->bhst", q, k) / np.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores + mask
    if causal:
        s, t = scores.shape[-2:]
        scores = np.where(np.arange(t)[None] <= np.arange(s)[:, None] + t - s, scores, -np.inf)
    with np.errstate(invalid="ignore"):
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return np.einsum("bhst,bhtd->bhsd", weights / weights.sum(axis=-1, keepdims=True), v)


def specs_of(q, k, columns, dtype, mask):
    """What tw.attention takes: shapes of q and k, the columns of v, whether there is a mask."""
    found = [tw.spec(q, dtype), tw.spec(k, dtype), tw.spec((*k[:3], columns), dtype)]
    return [*found, tw.spec((1, 1, q[2], k[2]), "float32")] if mask else found


def large_equal_scores(rows, keys, dtype):
    """Arguments whose scores are the same along a row, and so large that multiplying them with a constant rounds; half of
    the values are zeros and half ones, so that results are one half if all keys weigh the same."""
    q = np.linspace(100, 122, rows).reshape(1, 1, rows, 1) * np.ones((1, 1, rows, 16))
    k = np.full((1, 1, keys, 16), 110.0)
    v = np.repeat([0.0, 1.0], keys // 2).reshape(1, 1, keys, 1) * np.ones((1, 1, keys, 16))
    return [x.astype(dtype) for x in (q, k, v)]
