"""What a case of the op matrix is: a program, its inputs by shape letters, and its meaning in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tilewright import dtypes

FLOATS = ("float32", "float64", "float16", "bfloat16")
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
INTEGERS = SIGNED + UNSIGNED
NUMBERS = FLOATS + INTEGERS

#: Sizes for the letters of a case in order of appearance: one, none, odd, aligned, one below and above a tile.
FAMILIES = (
    (1, 1, 1, 1),
    (0, 5, 3, 2),
    (5, 0, 2, 3),
    (17, 3, 5, 2),
    (16, 64, 16, 4),
    (15, 65, 7, 3),
    (64, 63, 33, 1),
)


@dataclass(frozen=True)
class In:
    """One input: dims (letters vary, numbers are fixed), range of values, and its dtype if it is not the case's."""

    dims: str
    low: float = -2.0
    high: float = 2.0
    dtype: str | None = None

    def shape(self, sizes: dict[str, int]) -> tuple[int, ...]:
        return tuple(int(d) if d.isdigit() else sizes[d] for d in self.dims.split())

    def draw(self, rng: np.random.Generator, sizes: dict[str, int], dtype: str) -> np.ndarray:
        row = dtypes.by_name(self.dtype or dtype)
        shape = self.shape(sizes)
        if row.is_bool:
            return rng.integers(0, 2, shape).astype(bool)
        if row.is_integer:
            info = dtypes.iinfo(row)
            low, high = max(int(self.low), info.min), min(int(self.high), info.max)
            return rng.integers(low, high, shape, endpoint=True).astype(row.numpy)
        return rng.uniform(self.low, self.high, shape).astype(row.numpy)


@dataclass(frozen=True)
class Case:
    """One row of the matrix.

    Attributes:
        op: the operation of the dialect that it is about.
        run: the program, written with the public API.
        expect: the same on NumPy arrays, floats widened to float64.
        inputs: its inputs.
        dtypes: dtypes that the inputs without one of their own take.
        length: how many terms one element of the result adds up, from the sizes.
        magnitude: ``expect`` on absolute values is the magnitude of what is added (sums and contractions).
        scale: a magnitude in its own right, for formulas that cancel.
        rounded: how many times intermediate results are rounded to the dtype itself.
        sizes: sizes of the letters, instead of the families.
        label: tells cases of one operation apart.
    """

    op: str
    run: Callable[..., Any]
    expect: Callable[..., Any]
    inputs: tuple[In, ...]
    dtypes: tuple[str, ...] = FLOATS
    length: Callable[[dict[str, int]], int] = field(default=lambda sizes: 1)
    magnitude: bool = False
    scale: float | None = None
    rounded: int = 0
    sizes: tuple[tuple[int, ...], ...] = FAMILIES
    label: str = ""

    @property
    def id(self) -> str:
        return f"{self.op}-{self.label}" if self.label else self.op

    @property
    def letters(self) -> list[str]:
        found = (d for each in self.inputs for d in each.dims.split() if not d.isdigit())
        return list(dict.fromkeys(found))

    def families(self) -> list[dict[str, int]]:
        named = [dict(zip(self.letters, sizes)) for sizes in self.sizes]
        return [sizes for i, sizes in enumerate(named) if sizes not in named[:i]]


def widen(x: np.ndarray) -> np.ndarray:
    """Floats as float64, everything else as it is."""
    return x.astype(np.float64) if dtypes.of(x).is_float else x
