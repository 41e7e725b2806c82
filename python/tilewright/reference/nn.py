"""Formulas of neural networks, and quantisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import formats

Array = np.ndarray


def softmax(x: Array, axis: int) -> Array:
    """exp(x) / sum(exp(x)) along ``axis``."""
    powers = np.exp(x - np.max(x, axis=axis, keepdims=True, initial=-np.inf))
    return powers / np.sum(powers, axis=axis, keepdims=True)


def log_softmax(x: Array, axis: int) -> Array:
    """x - log(sum(exp(x))) along ``axis``."""
    centred = x - np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    return centred - np.log(np.sum(np.exp(centred), axis=axis, keepdims=True))


def layer_norm(x: Array, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5) -> Array:
    """(x - mean) / sqrt(var + eps) over the last dimension, times weight plus bias."""
    centred = x - _mean(x)
    result = centred / np.sqrt(_mean(np.square(centred)) + eps)
    result = result if weight is None else result * weight
    return result if bias is None else result + bias


def rms_norm(x: Array, weight: Array, eps: float = 1e-5) -> Array:
    """x / sqrt(mean(x²) + eps) over the last dimension, times weight."""
    return x / np.sqrt(_mean(np.square(x)) + eps) * weight


def _mean(x: Array) -> Array:
    return np.sum(x, axis=-1, keepdims=True) / np.asarray(x.shape[-1], x.dtype)


def rope(x: Array, cos: Array, sin: Array, interleaved: bool = False) -> Array:
    """Rotate pairs of ``[..., S, D]`` by angles ``[S, D / 2]``: (i, i + D/2), or (2i, 2i + 1) if interleaved."""
    half = x.shape[-1] // 2
    first, second = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])
    turned = first * cos - second * sin, second * cos + first * sin
    if interleaved:
        return np.stack(turned, axis=-1).reshape(x.shape)
    return np.concatenate(turned, axis=-1)


def attention(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    causal: bool = False,
    scale: float = 1.0,
) -> Array:
    """softmax(scale q kᵀ + mask) v.

    Args:
        q: ``[B, H, S, D]``.
        k: ``[B, Hkv, T, D]``; each head serves H / Hkv heads of q.
        v: ``[B, Hkv, T, Dv]``.
        mask: ``[B or 1, H or 1, S, T]``, added to the scores.
        causal: whether query s sees only keys t ≤ s + T - S.
        scale: factor of the scores.
    """
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = np.matmul(q, np.swapaxes(k, -1, -2)) * scale
    if mask is not None:
        scores = scores + mask
    if causal:
        queries, keys = scores.shape[-2:]
        visible = np.arange(keys)[None, :] <= np.arange(queries)[:, None] + keys - queries
        scores = np.where(visible, scores, -np.inf)
    return np.matmul(softmax(scores, -1), v)


def dequantize(
    storage: Array,
    scales: Array,
    mins: Array | None = None,
    *,
    format: tuple[str, int],
    dtype: Any = np.float64,
) -> Array:
    """Weights of planes; ``format`` is (name, group), as :mod:`tilewright.formats` defines them."""
    return formats.dequantize(format[0], storage, scales, mins, dtype)


def quantize(
    x: Array, *, format: tuple[str, int], scales_shape: tuple[int, ...], scales_dtype: Any = np.float64
) -> tuple[Array, ...]:
    """Planes of weights ``[N, K]``: scale = max|w| / m over its group, q = round(w / scale).

    m is 127, or 7 for int4. q4_0 and q4_1 have a rounding of their own, which :mod:`tilewright.formats` defines.

    Args:
        x: the weights.
        format: (name, group): ``q8_0``, ``int8``, ``int4``, ``q4_0`` or ``q4_1``.
        scales_shape: shape of the scales, which says how fine int8 and int4 are.
        scales_dtype: what the scales are rounded to before they divide: what is stored is what counts.
    """
    name = format[0]
    if name in ("q4_0", "q4_1"):
        return tuple(formats.quantize(name, x).values())
    width = x.size if not scales_shape else x.shape[1] if len(scales_shape) == 1 else 0
    if len(scales_shape) == 2:
        width = x.shape[1] // scales_shape[1]
    most = 7 if name == "int4" else 127
    groups = x.reshape(x.size // width if width else 0, width)
    scale = (
        (np.max(np.abs(groups), axis=1, keepdims=True, initial=0) / most).astype(scales_dtype).astype(x.dtype)
    )
    q = np.rint(groups / np.where(scale == 0, 1, scale)).clip(-most, most).astype(np.int8)
    if name == "int4":
        return formats.pack_int4(q.reshape(x.shape)), scale.reshape(scales_shape)
    shape = (x.shape[0], x.shape[1] // width, width) if name == "q8_0" else x.shape
    return q.reshape(shape), scale.reshape(scales_shape)


TABLE: dict[str, Callable] = {
    "softmax": softmax,
    "log_softmax": log_softmax,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "rope": rope,
    "attention": attention,
    "dequantize": dequantize,
    "quantize": quantize,
}
