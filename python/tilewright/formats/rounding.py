"""Planes from numbers, by rounding to nearest."""

from __future__ import annotations

import numpy as np

from .blocks import split
from .packing import pack_halves, pack_int4, pack_six_bits
from .table import GROUP, SUPER, Format, Planes, by_name, check_group, columns_of, plane_specs


def quantize(
    fmt: str | Format, x: np.ndarray, *, group: str | int = "channel", symmetric: bool = True
) -> Planes:
    """Quantise weights by rounding to nearest.

    Args:
        fmt: the format.
        x: the weights ``[..., K]``, float.
        group: for int8 and int4: ``"tensor"``, ``"channel"``, or the number of weights per scale.
        symmetric: for int8 and int4: without zero points (and without the plane ``zeros``).

    Returns:
        The planes. All but those of the K formats are GGML's bit for bit.

    Raises:
        ShapeError: when K does not fill whole blocks or groups.
        ArgumentError: when `group` is none of these.
    """
    fmt = by_name(fmt)
    check_group(fmt, group)
    x = np.asarray(x)
    if fmt.is_block:
        columns = columns_of(fmt, x.shape)
        groups = x.astype(np.float32).reshape(*x.shape[:-1], columns // fmt.group, fmt.group)
        if fmt.block == SUPER:
            return split(fmt, (_q6_k_blocks if fmt.name == "q6_k" else _min_blocks)(fmt, groups), x.shape)
        if fmt.name == "q8_0":
            return _q8_0(groups)
        return (_with_min if fmt.third else _around_middle)(fmt, groups)
    return _quantize_int(fmt, x, group, symmetric)


def _inverse(d: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.where(d == 0, np.float32(0), np.float32(1) / d)


def _around_middle(fmt: Format, x: np.ndarray) -> Planes:
    """q4_0 and q5_0: the largest weight becomes the smallest integer."""
    middle = np.float32(fmt.middle)
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=-1, keepdims=True), axis=-1)
    d = largest / -middle
    q = np.trunc(x * _inverse(d) + middle + np.float32(0.5)).astype(np.uint8).clip(0, 2 * fmt.middle - 1)
    return {"storage": _pack_block(fmt, q), "scales": d[..., 0].astype(np.float16)}


def _with_min(fmt: Format, x: np.ndarray) -> Planes:
    """q4_1 and q5_1: the integers span the range of the group."""
    steps = (1 << fmt.bits) - 1
    low, high = x.min(axis=-1, keepdims=True), x.max(axis=-1, keepdims=True)
    d = (high - low) / np.float32(steps)
    q = np.trunc((x - low) * _inverse(d) + np.float32(0.5)).astype(np.uint8).clip(0, steps)
    return {
        "storage": _pack_block(fmt, q),
        "scales": d[..., 0].astype(np.float16),
        "mins": low[..., 0].astype(np.float16),
    }


def _pack_block(fmt: Format, q: np.ndarray) -> np.ndarray:
    """Pack groups of 32 integers into a block's nibbles, followed by its fifth bits."""
    low = pack_halves(q & 15)
    if fmt.bits == 4:
        return low
    return np.concatenate([low, np.packbits(q >> 4, axis=-1, bitorder="little")], axis=-1)


def _q8_0(x: np.ndarray) -> Planes:
    d = np.abs(x).max(axis=-1, keepdims=True) / np.float32(127)
    scaled = x * _inverse(d)
    # GGML rounds half away from zero, NumPy half to even.
    q = np.copysign(np.floor(np.abs(scaled) + np.float32(0.5)), scaled).astype(np.int8)
    return {"storage": q, "scales": d[..., 0].astype(np.float16)}


def super_blocks(fmt: str | Format, x: np.ndarray) -> np.ndarray:
    """Quantise ``[..., K]`` into the raw blocks of a K format, uint8 ``[..., bytes per row]``.

    Each group takes its range; scales and mins are then rounded to the block's few bits for them.
    (GGML's own quantisers search for a smaller squared error in the same layouts.)
    """
    fmt = by_name(fmt)
    groups = x.astype(np.float32).reshape(*x.shape[:-1], columns_of(fmt, x.shape) // fmt.group, fmt.group)
    return (_q6_k_blocks if fmt.name == "q6_k" else _min_blocks)(fmt, groups)


def _min_blocks(fmt: Format, x: np.ndarray) -> np.ndarray:
    """q4_k and q5_k of groups ``[..., K / 32, 32]``."""
    steps = (1 << fmt.bits) - 1
    groups = x.reshape(*x.shape[:-2], x.shape[-2] // 8, 8, GROUP)
    low = np.minimum(groups.min(axis=-1), 0)
    step = (groups.max(axis=-1) - low) / np.float32(steps)
    d = (step.max(axis=-1) / np.float32(63)).astype(np.float16)
    dmin = (-low.min(axis=-1) / np.float32(63)).astype(np.float16)
    d32, dmin32 = d.astype(np.float32)[..., None], dmin.astype(np.float32)[..., None]
    sc = np.rint(step * _inverse(d32)).clip(0, 63).astype(np.uint8)
    mn = np.rint(-low * _inverse(dmin32)).clip(0, 63).astype(np.uint8)
    scaled = (groups + (dmin32 * mn)[..., None]) * _inverse(d32 * sc)[..., None]
    q = np.rint(scaled).clip(0, steps).astype(np.uint8)
    blocks = np.empty(d.shape, fmt.raw)
    blocks["d"], blocks["dmin"], blocks["sc"] = d, dmin, pack_six_bits(sc, mn)
    pairs = (q & 15).reshape(*q.shape[:-2], 4, 2, GROUP)
    blocks["qs"] = pairs[..., 0, :] | (pairs[..., 1, :] << 4)
    if fmt.bits == 5:
        blocks["qh"] = np.packbits(q >> 4, axis=-2, bitorder="little")[..., 0, :]
    return blocks.view(np.uint8)


def _q6_k_blocks(fmt: Format, x: np.ndarray) -> np.ndarray:
    """q6_k of groups ``[..., K / 16, 16]``."""
    groups = x.reshape(*x.shape[:-2], x.shape[-2] // 16, 16, 16)
    step = np.abs(groups).max(axis=-1) / np.float32(31)
    d = (step.max(axis=-1) / np.float32(127)).astype(np.float16)
    d32 = d.astype(np.float32)[..., None]
    sc = np.rint(step * _inverse(d32)).clip(0, 127).astype(np.int8)
    q = np.rint(groups * _inverse(d32 * sc)[..., None]).clip(-32, 31).astype(np.int8)
    # [half of the block, nibble, half of the 64 bytes, byte]
    u = (q + 32).astype(np.uint8).reshape(*d.shape, 2, 2, 2, 32)
    blocks = np.empty(d.shape, fmt.raw)
    blocks["d"], blocks["sc"] = d, sc
    low = u & 15
    blocks["ql"] = (low[..., 0, :, :] | (low[..., 1, :, :] << 4)).reshape(*d.shape, 2, 64)
    shifts = np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    blocks["qh"] = np.bitwise_or.reduce((u >> 4).reshape(*d.shape, 2, 4, 32) << shifts, axis=-2)
    return blocks.view(np.uint8)


def _quantize_int(fmt: Format, x: np.ndarray, group: str | int, symmetric: bool) -> Planes:
    columns = columns_of(fmt, x.shape, group if isinstance(group, int) else None)
    qmax = 127 if fmt.bits == 8 else 7
    if group == "tensor":
        rows = x.reshape(1, x.size)
    else:
        width = columns if group == "channel" else int(group)
        rows = x.reshape(*x.shape[:-1], columns // width if width else 0, width)
    scale_shape = plane_specs(fmt, x.shape, group=group)["scales"][0]
    rows = rows.astype(np.float32)
    if symmetric:
        d = np.abs(rows).max(axis=-1, initial=0, keepdims=True) / np.float32(qmax)
        zero = np.zeros_like(d)
    else:
        low, high = (rows.min(axis=-1, initial=0, keepdims=True), rows.max(axis=-1, initial=0, keepdims=True))
        d = (high - low) / np.float32(2 * qmax + 1)
        zero = np.rint(-low * _inverse(d)) - (qmax + 1)
    q = np.rint(rows * _inverse(d) + zero).clip(-qmax - 1, qmax).astype(np.int8).reshape(x.shape)
    planes = {"storage": q if fmt.bits == 8 else pack_int4(q), "scales": d.reshape(scale_shape)}
    if not symmetric:
        planes["zeros"] = zero.astype(np.int8).reshape(scale_shape)
    return planes
