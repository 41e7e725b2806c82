"""Numbers from planes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .packing import unpack_halves, unpack_int4
from .table import SUPER, Format, by_name


def dequantize(
    fmt: str | Format,
    storage: np.ndarray,
    scales: np.ndarray,
    third: np.ndarray | None = None,
    dtype: Any = np.float64,
) -> np.ndarray:
    """Return the weights of planes.

    Args:
        fmt: the format.
        storage: the stored integers.
        scales: the scales.
        third: the mins of the formats that have some; the zero points of int8 and int4, or None.
        dtype: a NumPy float dtype; the arithmetic is done in it.

    Returns:
        The weights ``[..., K]``.
    """
    fmt = by_name(fmt)
    scales = np.asarray(scales).astype(dtype)
    if fmt.is_block:
        w = _stored_integers(fmt, storage).reshape(*scales.shape, fmt.group).astype(dtype)
        w = scales[..., None] * (w - np.asarray(fmt.middle, dtype))
        if fmt.third:
            assert third is not None, f"{fmt.name} has mins"
            m = np.asarray(third).astype(dtype)[..., None]
            w = w - m if fmt.block == SUPER else w + m
        return w.reshape(*scales.shape[:-1], scales.shape[-1] * fmt.group)
    q = storage if fmt.bits == 8 else unpack_int4(storage)
    w = q.astype(dtype)
    if third is not None:
        w = w - _spread(np.asarray(third).astype(dtype), w.shape)
    return w * _spread(scales, w.shape)


def _stored_integers(fmt: Format, storage: np.ndarray) -> np.ndarray:
    """The integers of a block format, in the order of the weights; leading dims as the storage has them."""
    if fmt.bits == 8:
        return storage
    if fmt.bits == 4:
        return unpack_halves(storage)
    lead, bit = storage.shape[:-1], np.arange(8, dtype=np.uint8)
    if fmt.name == "q5_k":
        low = unpack_halves(storage[..., :128].reshape(*lead, 4, 32)).reshape(*lead, 8, 32)
        high = (storage[..., None, 128:] >> bit[:, None]) & 1
    elif fmt.name == "q6_k":
        # [nibble, half of the 64 bytes, byte]: weights 64 nibble + 32 half + byte.
        bytes_ = storage[..., :64].reshape(*lead, 1, 2, 32)
        low = np.concatenate([bytes_ & 15, bytes_ >> 4], axis=-3).reshape(*lead, 4, 32)
        high = (storage[..., None, 64:] >> (2 * bit[:4, None])) & 3
    else:
        low = unpack_halves(storage[..., :16])
        high = ((storage[..., 16:, None] >> bit) & 1).reshape(*lead, 32)
    return low | (high << 4)


def _spread(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Repeat per-tensor, per-channel or per-group values over the weights they belong to."""
    if values.ndim == 0:
        return values
    if values.ndim == len(shape) - 1:
        return values[..., None]
    return np.repeat(values, shape[-1] // values.shape[-1] if values.shape[-1] else 1, axis=-1)
