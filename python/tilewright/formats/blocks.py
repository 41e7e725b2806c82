"""Raw blocks, as GGUF files hold them, to planes and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import errors
from .packing import unpack_six_bits
from .table import SUPER, Format, Planes, by_name, columns_of, plane_specs


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
    columns = columns_of(fmt, shape)
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
    specs = plane_specs(fmt, shape)
    if fmt.block == SUPER:
        planes = _split_super(fmt, blocks)
    else:
        low = blocks["qs"]
        planes = {"storage": np.concatenate([low, blocks["qh"]], axis=-1) if fmt.bits == 5 else low}
        planes["scales"] = blocks["d"]
        if fmt.third:
            planes[fmt.third] = blocks["m"]
    return {name: np.ascontiguousarray(plane).reshape(specs[name][0]) for name, plane in planes.items()}


def _split_super(fmt: Format, blocks: np.ndarray) -> Planes:
    """Planes of a K format, not yet of their shapes; what scales the scales is multiplied out."""
    d = blocks["d"][..., None].astype(np.float32)
    if fmt.name == "q6_k":
        storage = np.concatenate([blocks["ql"], blocks["qh"]], axis=-1)
        return {"storage": storage, "scales": d * blocks["sc"].astype(np.float32)}
    storage = blocks["qs"]
    if fmt.name == "q5_k":
        storage = np.concatenate([storage.reshape(*blocks.shape, 128), blocks["qh"]], axis=-1)
    sc, mn = unpack_six_bits(blocks["sc"])
    mins = blocks["dmin"][..., None].astype(np.float32) * mn.astype(np.float32)
    return {"storage": storage, "scales": d * sc.astype(np.float32), "mins": mins}


def join(fmt: str | Format, planes: Planes) -> np.ndarray:
    """Join planes into raw blocks, the inverse of :func:`split`.

    Args:
        fmt: ``q4_0``, ``q4_1``, ``q5_0``, ``q5_1`` or ``q8_0``; the planes of the K formats hold products of their
            scales, which do not take apart again.
        planes: as :func:`split` returns them.

    Returns:
        uint8 ``[..., bytes per row]``.
    """
    fmt = by_name(fmt)
    if fmt.raw is None or fmt.block == SUPER:
        errors.fail(errors.UnsupportedOpError, f"{fmt.name}: planes cannot be joined into raw blocks")
    blocks = np.empty(planes["scales"].shape, fmt.raw)
    blocks["d"] = planes["scales"]
    blocks["qs"] = planes["storage"][..., :16] if fmt.bits == 5 else planes["storage"]
    if fmt.bits == 5:
        blocks["qh"] = planes["storage"][..., 16:]
    if fmt.third:
        blocks["m"] = planes[fmt.third]
    return blocks.view(np.uint8)
