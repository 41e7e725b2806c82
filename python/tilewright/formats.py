"""Quantisation formats in NumPy: split, pack, quantise, dequantise.

A quantised weight ``[N, K]`` is a few plain arrays, its *planes*; how they make numbers is the *format*.
Block formats (GGML's layouts) keep 32 weights per scale, ``G = K / 32``:

=======  =========================  ==================  ==================  =======================
format   storage                    scales              mins                weight
=======  =========================  ==================  ==================  =======================
q4_0     uint8 [N, G, 16]           float16 [N, G]      –                   ``d * (q - 8)``
q4_1     uint8 [N, G, 16]           float16 [N, G]      float16 [N, G]      ``d * q + m``
q8_0     int8 [N, G, 32]            float16 [N, G]      –                   ``d * q``
q4_k     uint8 [N, G / 2, 32]       float32 [N, G]      float32 [N, G]      ``d * q - m``
int8     int8 [N, K]                see below           zeros, optional     ``d * (q - zero)``
int4     uint8 [N, K / 2]           see below           zeros, optional     ``d * (q - zero)``
=======  =========================  ==================  ==================  =======================

Byte ``j`` of a 16-byte group holds weight ``j`` in its low and weight ``j + 16`` in its high nibble; byte ``j`` of a
32-byte pair of groups (q4_k) holds weight ``j`` of the first, low, and of the second, high. int4 holds
two neighbours per byte, low nibble first, as signed values. The scales of int8 and int4 say how fine they
are: ``[]`` per tensor, ``[N]`` per channel (row), ``[N, K / group]`` per group; zero points are int8 of the same
shape. All leading dims stand for N.

Source: https://github.com/ggml-org/ggml (block layouts), checked in the tests against the ``gguf`` package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import dtypes, errors
from .dtypes import DType

__all__ = ["FORMATS", "Format", "by_name", "dequantize", "join", "plane_specs", "quantize", "split"]

Planes = dict[str, np.ndarray]
GROUP = 32


@dataclass(frozen=True, slots=True)
class Format:
    """One row of the table above.

    Attributes:
        name: as in ``#tw.format<name>``.
        bits: bits of one stored weight.
        block: weights per block of the raw layout; 0 when there is no raw layout (int8, int4).
        raw: the raw block as a NumPy structured dtype, None when there is none.
        scales: dtype of the scales; None when the caller chooses it.
        third: what the third plane is called, ``"mins"``, ``"zeros"`` or None.
    """

    name: str
    bits: int
    block: int
    raw: np.dtype | None
    scales: DType | None
    third: str | None

    @property
    def is_block(self) -> bool:
        """Whether scales belong to fixed groups of 32 weights."""
        return self.block > 0

    def row_bytes(self, columns: int) -> int:
        """Return the bytes of one row of ``columns`` weights in the raw layout."""
        assert self.raw is not None
        return columns // self.block * self.raw.itemsize


def _record(*fields: tuple) -> np.dtype:
    return np.dtype([tuple(field) for field in fields])


FORMATS: dict[str, Format] = {
    row.name: row
    for row in (
        Format("q4_0", 4, 32, _record(("d", "<f2"), ("qs", "u1", 16)), dtypes.float16, None),
        Format("q4_1", 4, 32, _record(("d", "<f2"), ("m", "<f2"), ("qs", "u1", 16)), dtypes.float16, "mins"),
        Format("q8_0", 8, 32, _record(("d", "<f2"), ("qs", "i1", 32)), dtypes.float16, None),
        Format(
            "q4_k",
            4,
            256,
            _record(("d", "<f2"), ("dmin", "<f2"), ("sc", "u1", 12), ("qs", "u1", (4, 32))),
            dtypes.float32,
            "mins",
        ),
        Format("int8", 8, 0, None, None, "zeros"),
        Format("int4", 4, 0, None, None, "zeros"),
    )
}


def by_name(name: str | Format) -> Format:
    """Return the format of this name.

    Raises:
        UnsupportedOpError: when there is none.
    """
    if isinstance(name, Format):
        return name
    found = FORMATS.get(name)
    if found is None:
        hint = errors.did_you_mean(str(name), FORMATS) or "formats: " + ", ".join(FORMATS) + "."
        errors.fail(errors.UnsupportedOpError, f"quantisation: unknown format {name!r}", help=hint)
    return found


def _columns(fmt: Format, shape: tuple[int, ...], group: int | None = None) -> int:
    """Return K after checking that it fills whole blocks (pairs, for int4)."""
    if not shape:
        errors.fail(errors.ShapeError, f"{fmt.name}: a scalar has no rows to quantise")
    multiple = fmt.block or group or (2 if fmt.bits == 4 else 1)
    if shape[-1] % multiple or (fmt.bits == 4 and shape[-1] % 2):
        errors.fail(
            errors.ShapeError,
            f"{fmt.name}: the last dim of {list(shape)} is not a multiple of {multiple}",
            help="pad the weight along its last dim, or choose another format.",
        )
    return shape[-1]


def plane_specs(
    fmt: str | Format, shape: tuple[int, ...], scales: DType | None = None, group: str | int = "channel"
) -> dict[str, tuple[tuple[int, ...], DType]]:
    """Return ``{plane: (shape, dtype)}`` of a weight.

    Args:
        fmt: the format.
        shape: shape of the weight, ``[..., K]``.
        scales: dtype of the scales of int8 and int4 (float32 by default); block formats have their own.
        group: for int8 and int4: ``"tensor"``, ``"channel"`` or the number of weights per scale.

    Raises:
        ShapeError: when K does not fill whole blocks or groups.
    """
    fmt, shape = by_name(fmt), tuple(shape)
    rows = shape[:-1]
    if fmt.is_block:
        groups = _columns(fmt, shape) // GROUP
        shapes = {"q8_0": (groups, GROUP), "q4_k": (groups // 2, GROUP)}
        inner = shapes.get(fmt.name, (groups, GROUP // 2))
        storage = ((*rows, *inner), dtypes.int8 if fmt.bits == 8 else dtypes.uint8)
        assert fmt.scales is not None
        specs = {"storage": storage, "scales": ((*rows, groups), fmt.scales)}
        if fmt.third:
            specs[fmt.third] = ((*rows, groups), fmt.scales)
        return specs
    columns = _columns(fmt, shape, group if isinstance(group, int) else None)
    storage = (shape, dtypes.int8) if fmt.bits == 8 else ((*rows, columns // 2), dtypes.uint8)
    scale_shape = () if group == "tensor" else rows if group == "channel" else (*rows, columns // int(group))
    return {
        "storage": storage,
        "scales": (scale_shape, scales or dtypes.float32),
        "zeros": (scale_shape, dtypes.int8),
    }


# ---- raw blocks ---------------------------------------------------------------------------------------


def split(fmt: str | Format, raw: Any, shape: tuple[int, ...]) -> Planes:
    """Split raw blocks, as a GGUF file holds them, into planes.

    Args:
        fmt: a block format.
        raw: bytes or a uint8 array: the rows of the weight one after the other.
        shape: shape of the weight, ``[..., K]``.

    Returns:
        ``{"storage", "scales"[, "mins"]}``, freshly allocated.

    Raises:
        FormatError: when the bytes are not as many as the shape needs.
        ShapeError: when K is not a multiple of the block.
    """
    fmt, shape = by_name(fmt), tuple(int(n) for n in shape)
    if fmt.raw is None:
        errors.fail(errors.UnsupportedOpError, f"{fmt.name}: has no raw block layout")
    columns = _columns(fmt, shape)
    data = (
        np.frombuffer(raw, np.uint8) if isinstance(raw, (bytes, bytearray, memoryview)) else np.asarray(raw)
    )
    data = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    rows = int(np.prod(shape[:-1], dtype=np.int64))
    expected = rows * fmt.row_bytes(columns)
    if data.size != expected:
        errors.fail(
            errors.FormatError,
            f"{fmt.name}: {data.size} bytes for a weight of shape {list(shape)}, expected {expected}",
        )
    blocks = data.view(fmt.raw).reshape(*shape[:-1], columns // fmt.block)
    if fmt.name == "q4_k":
        return _split_q4_k(blocks)
    planes = {"storage": np.ascontiguousarray(blocks["qs"]), "scales": np.ascontiguousarray(blocks["d"])}
    if fmt.third:
        planes[fmt.third] = np.ascontiguousarray(blocks["m"])
    return planes


def _split_q4_k(blocks: np.ndarray) -> Planes:
    sc, mn = _unpack_six_bits(blocks["sc"])
    scales = blocks["d"][..., None].astype(np.float32) * sc.astype(np.float32)
    mins = blocks["dmin"][..., None].astype(np.float32) * mn.astype(np.float32)
    lead, groups = blocks.shape[:-1], blocks.shape[-1] * 8
    return {
        "storage": np.ascontiguousarray(blocks["qs"]).reshape(*lead, groups // 2, GROUP),
        "scales": scales.reshape(*lead, groups),
        "mins": mins.reshape(*lead, groups),
    }


def _unpack_six_bits(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unpack 12 bytes into eight 6-bit scales and eight 6-bit mins."""
    d, m, high = packed[..., 0:4], packed[..., 4:8], packed[..., 8:12]
    scales = np.concatenate([d & 63, (high & 15) | ((d >> 2) & 48)], axis=-1)
    mins = np.concatenate([m & 63, (high >> 4) | ((m >> 2) & 48)], axis=-1)
    return scales, mins


def _pack_six_bits(scales: np.ndarray, mins: np.ndarray) -> np.ndarray:
    lo_s, hi_s, lo_m, hi_m = (scales[..., :4], scales[..., 4:], mins[..., :4], mins[..., 4:])
    d = lo_s | ((hi_s & 48) << 2)
    m = lo_m | ((hi_m & 48) << 2)
    return np.concatenate([d, m, (hi_s & 15) | ((hi_m & 15) << 4)], axis=-1)


def _pack_halves(q: np.ndarray) -> np.ndarray:
    """Pack groups of 32 nibbles ``[..., 32]`` into bytes ``[..., 16]``: weight j low, weight j + 16 high."""
    return q[..., :16] | (q[..., 16:] << 4)


def _unpack_halves(packed: np.ndarray) -> np.ndarray:
    """Unpack bytes ``[..., n]`` into ``[..., 2 n]``: the low nibbles, then the high ones."""
    return np.concatenate([packed & 15, packed >> 4], axis=-1)


def join(fmt: str | Format, planes: Planes) -> np.ndarray:
    """Join planes into raw blocks, the inverse of :func:`split`.

    Args:
        fmt: ``q4_0``, ``q4_1`` or ``q8_0``; the planes of q4_k hold products of its 6-bit scales, which do not
            take apart again.
        planes: as :func:`split` returns them.

    Returns:
        uint8 ``[..., bytes per row]``.
    """
    fmt = by_name(fmt)
    if fmt.raw is None or fmt.name == "q4_k":
        errors.fail(errors.UnsupportedOpError, f"{fmt.name}: planes cannot be joined into raw blocks")
    blocks = np.empty(planes["scales"].shape, fmt.raw)
    blocks["qs"], blocks["d"] = planes["storage"], planes["scales"]
    if fmt.third:
        blocks["m"] = planes[fmt.third]
    return blocks.view(np.uint8)


# ---- numbers from planes ------------------------------------------------------------------------------


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
        third: the mins of q4_1 and q4_k; the zero points of int8 and int4, or None.
        dtype: a NumPy float dtype; the arithmetic is done in it.

    Returns:
        The weights ``[..., K]``.
    """
    fmt = by_name(fmt)
    scales = np.asarray(scales).astype(dtype)
    if fmt.is_block:
        q = storage if fmt.bits == 8 else _unpack_halves(storage)
        q = q.reshape(*scales.shape, GROUP)
        w = q.astype(dtype)
        d = scales[..., None]
        if fmt.name == "q4_0":
            w = d * (w - np.asarray(8, dtype))
        elif fmt.name == "q8_0":
            w = d * w
        else:
            assert third is not None, f"{fmt.name} has mins"
            m = np.asarray(third).astype(dtype)[..., None]
            w = d * w + m if fmt.name == "q4_1" else d * w - m
        return w.reshape(*scales.shape[:-1], scales.shape[-1] * GROUP)
    q = storage if fmt.bits == 8 else unpack_int4(storage)
    w = q.astype(dtype)
    if third is not None:
        w = w - _spread(np.asarray(third).astype(dtype), w.shape)
    return w * _spread(scales, w.shape)


def _spread(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Repeat per-tensor, per-channel or per-group values over the weights they belong to."""
    if values.ndim == 0:
        return values
    if values.ndim == len(shape) - 1:
        return values[..., None]
    return np.repeat(values, shape[-1] // values.shape[-1] if values.shape[-1] else 1, axis=-1)


def pack_int4(q: np.ndarray) -> np.ndarray:
    """Pack signed values in [-8, 7] ``[..., K]`` into bytes ``[..., K / 2]``, low nibble first."""
    nibbles = q.astype(np.int8).view(np.uint8) & 15
    return nibbles[..., 0::2] | (nibbles[..., 1::2] << 4)


def unpack_int4(packed: np.ndarray) -> np.ndarray:
    """Unpack bytes ``[..., K / 2]`` into signed int8 ``[..., K]``."""
    signed = packed.view(np.int8)
    pairs = np.stack([(signed << 4) >> 4, signed >> 4], axis=-1)  # arithmetic shifts carry the sign
    return pairs.reshape(*packed.shape[:-1], packed.shape[-1] * 2)


# ---- planes from numbers ------------------------------------------------------------------------------


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
        The planes. q4_0, q4_1 and q8_0 are GGML's bit for bit.

    Raises:
        ShapeError: when K does not fill whole blocks or groups.
    """
    fmt = by_name(fmt)
    x = np.asarray(x)
    if fmt.is_block:
        columns = _columns(fmt, x.shape)
        groups = x.astype(np.float32).reshape(*x.shape[:-1], columns // GROUP, GROUP)
        return {"q4_0": _q4_0, "q4_1": _q4_1, "q8_0": _q8_0, "q4_k": _q4_k}[fmt.name](groups)
    return _quantize_int(fmt, x, group, symmetric)


def _inverse(d: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.where(d == 0, np.float32(0), np.float32(1) / d)


def _q4_0(x: np.ndarray) -> Planes:
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=-1, keepdims=True), axis=-1)
    d = largest / np.float32(-8)
    q = np.trunc(x * _inverse(d) + np.float32(8.5)).astype(np.uint8).clip(0, 15)
    return {"storage": _pack_halves(q), "scales": d[..., 0].astype(np.float16)}


def _q4_1(x: np.ndarray) -> Planes:
    low, high = x.min(axis=-1, keepdims=True), x.max(axis=-1, keepdims=True)
    d = (high - low) / np.float32(15)
    q = np.trunc((x - low) * _inverse(d) + np.float32(0.5)).astype(np.uint8).clip(0, 15)
    return {
        "storage": _pack_halves(q),
        "scales": d[..., 0].astype(np.float16),
        "mins": low[..., 0].astype(np.float16),
    }


def _q8_0(x: np.ndarray) -> Planes:
    d = np.abs(x).max(axis=-1, keepdims=True) / np.float32(127)
    scaled = x * _inverse(d)
    # GGML rounds half away from zero, NumPy half to even.
    q = np.copysign(np.floor(np.abs(scaled) + np.float32(0.5)), scaled).astype(np.int8)
    return {"storage": q, "scales": d[..., 0].astype(np.float16)}


def q4_k_blocks(x: np.ndarray) -> np.ndarray:
    """Quantise ``[..., K]`` into raw q4_k blocks, uint8 ``[..., K / 256 * 144]``.

    Each group of 32 takes its range; scales and mins are then rounded to 6 bits of the block's largest.
    (GGML's own quantiser searches for a smaller squared error in the same layout.)
    """
    fmt = FORMATS["q4_k"]
    columns = _columns(fmt, x.shape)
    groups = x.astype(np.float32).reshape(*x.shape[:-1], columns // 256, 8, GROUP)
    low = np.minimum(groups.min(axis=-1), 0)
    step = (groups.max(axis=-1) - low) / np.float32(15)
    d = (step.max(axis=-1) / np.float32(63)).astype(np.float16)
    dmin = (-low.min(axis=-1) / np.float32(63)).astype(np.float16)
    d32, dmin32 = d.astype(np.float32)[..., None], dmin.astype(np.float32)[..., None]
    sc = np.rint(step * _inverse(d32)).clip(0, 63).astype(np.uint8)
    mn = np.rint(-low * _inverse(dmin32)).clip(0, 63).astype(np.uint8)
    scaled = (groups + (dmin32 * mn)[..., None]) * _inverse(d32 * sc)[..., None]
    q = np.rint(scaled).clip(0, 15).astype(np.uint8)
    assert fmt.raw is not None
    blocks = np.empty(d.shape, fmt.raw)
    blocks["d"], blocks["dmin"], blocks["sc"] = d, dmin, _pack_six_bits(sc, mn)
    pairs = q.reshape(*q.shape[:-2], 4, 2, GROUP)
    blocks["qs"] = pairs[..., 0, :] | (pairs[..., 1, :] << 4)
    return blocks.view(np.uint8)


def _q4_k(x: np.ndarray) -> Planes:
    shape = (*x.shape[:-2], x.shape[-2] * GROUP)
    return split("q4_k", q4_k_blocks(x.reshape(shape)), shape)


def _quantize_int(fmt: Format, x: np.ndarray, group: str | int, symmetric: bool) -> Planes:
    columns = _columns(fmt, x.shape, group if isinstance(group, int) else None)
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
