"""The scalar types of PTX, and how a register of 32 bits becomes a NumPy array of any of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

STORAGE: dict[int, np.dtype] = {
    1: np.dtype(np.bool_),
    8: np.dtype(np.uint8),
    16: np.dtype(np.uint16),
    32: np.dtype(np.uint32),
    64: np.dtype(np.uint64),
}


@dataclass(frozen=True)
class Scalar:
    """A PTX type such as `.f32`: name, bits, kind (`u`, `s`, `b`, `f` or `p`), the NumPy dtype of its values.

    Types without a NumPy dtype (`.bf16`, packed pairs) keep the dtype of their bits; the instructions unpack them.
    """

    name: str
    bits: int
    kind: str
    dtype: np.dtype

    @property
    def bytes(self) -> int:
        """Size in memory."""
        return max(1, self.bits // 8)

    @property
    def storage(self) -> np.dtype:
        """The unsigned dtype that holds the bits."""
        return STORAGE[self.bits]


def _table() -> dict[str, Scalar]:
    types = {"pred": Scalar("pred", 1, "p", np.dtype(np.bool_))}
    for bits in (8, 16, 32, 64):
        for kind in "usb":
            types[f"{kind}{bits}"] = Scalar(
                f"{kind}{bits}", bits, kind, np.dtype(f"{'i' if kind == 's' else 'u'}{bits // 8}")
            )
    for bits in (16, 32, 64):
        types[f"f{bits}"] = Scalar(f"f{bits}", bits, "f", np.dtype(f"f{bits // 8}"))
    for name, bits in (
        ("bf16", 16),
        ("f16x2", 32),
        ("bf16x2", 32),
        ("tf32", 32),
        ("e4m3x2", 16),
        ("e5m2x2", 16),
    ):
        types[name] = Scalar(name, bits, "f", STORAGE[bits])
    for name in ("u16x2", "s16x2"):
        types[name] = Scalar(name, 32, name[0], STORAGE[32])
    types["b128"] = Scalar("b128", 128, "b", np.dtype("V16"))
    return types


TYPES = _table()


def type_names(parts: tuple[str, ...]) -> list[Scalar]:
    """Return the types among the dotted parts of an opcode, in order."""
    return [TYPES[part] for part in parts if part in TYPES]


def bits_of(values: Array) -> Array:
    """Return values as unsigned integers of the same size."""
    if values.dtype == np.bool_ or values.dtype.kind == "u":
        return values
    return values.view(STORAGE[values.dtype.itemsize * 8])


def bf16_to_f32(bits: Array) -> Array:
    """Return bfloat16 bits (uint16) as float32."""
    return (np.asarray(bits).astype(np.uint32) << np.uint32(16)).view(np.float32)


def f32_to_bf16_bits(values: Array | np.floating) -> Array:
    """Return the upper halves of float32 values that bfloat16 holds exactly (NaN stays NaN)."""
    values = np.asarray(values, np.float32)
    upper = (values.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FFF), upper)


def halves(bits: Array) -> tuple[Array, Array]:
    """Return the low and the high 16 bits of 32-bit values."""
    bits = np.asarray(bits)
    return (bits & np.uint32(0xFFFF)).astype(np.uint16), (bits >> np.uint32(16)).astype(np.uint16)


def join_halves(low: Array, high: Array) -> Array:
    """Return 32-bit values from their low and high 16 bits."""
    return np.asarray(low).astype(np.uint32) | (np.asarray(high).astype(np.uint32) << np.uint32(16))


def spread(value: Array | np.generic, count: int) -> Array:
    """Return a value per lane: an array as it is, a literal repeated."""
    return np.asarray(value) if np.ndim(value) else np.full(count, value)
