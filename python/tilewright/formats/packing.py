"""Integers of fewer than eight bits in bytes."""

from __future__ import annotations

import numpy as np


def unpack_six_bits(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unpack 12 bytes into eight 6-bit scales and eight 6-bit mins."""
    d, m, high = packed[..., 0:4], packed[..., 4:8], packed[..., 8:12]
    scales = np.concatenate([d & 63, (high & 15) | ((d >> 2) & 48)], axis=-1)
    mins = np.concatenate([m & 63, (high >> 4) | ((m >> 2) & 48)], axis=-1)
    return scales, mins


def pack_six_bits(scales: np.ndarray, mins: np.ndarray) -> np.ndarray:
    lo_s, hi_s, lo_m, hi_m = (scales[..., :4], scales[..., 4:], mins[..., :4], mins[..., 4:])
    d = lo_s | ((hi_s & 48) << 2)
    m = lo_m | ((hi_m & 48) << 2)
    return np.concatenate([d, m, (hi_s & 15) | ((hi_m & 15) << 4)], axis=-1)


def pack_halves(q: np.ndarray) -> np.ndarray:
    """Pack groups of 32 nibbles ``[..., 32]`` into bytes ``[..., 16]``: weight j low, weight j + 16 high."""
    return q[..., :16] | (q[..., 16:] << 4)


def unpack_halves(packed: np.ndarray) -> np.ndarray:
    """Unpack bytes ``[..., n]`` into ``[..., 2 n]``: the low nibbles, then the high ones."""
    return np.concatenate([packed & 15, packed >> 4], axis=-1)


def pack_int4(q: np.ndarray) -> np.ndarray:
    """Pack signed values in [-8, 7] ``[..., K]`` into bytes ``[..., K / 2]``, low nibble first."""
    nibbles = q.astype(np.int8).view(np.uint8) & 15
    return nibbles[..., 0::2] | (nibbles[..., 1::2] << 4)


def unpack_int4(packed: np.ndarray) -> np.ndarray:
    """Unpack bytes ``[..., K / 2]`` into signed int8 ``[..., K]``."""
    signed = packed.view(np.int8)
    pairs = np.stack([(signed << 4) >> 4, signed >> 4], axis=-1)  # arithmetic shifts carry the sign
    return pairs.reshape(*packed.shape[:-1], packed.shape[-1] * 2)
