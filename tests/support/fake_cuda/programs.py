"""A program of four launches that the interpreter is quick with."""

from __future__ import annotations

from typing import Any

import numpy as np
import tilewright as tw


def sums(x: Any) -> Any:
    """Sum up along one axis and the other, twice: each time a kernel, with memory between them."""
    for axis in (0, 1, 0, 1):
        x = tw.cumsum(x, axis=axis)
    return x


def sums_reference(x: np.ndarray) -> np.ndarray:
    """Return what `sums` computes, in double precision."""
    wide = x.astype(np.float64)
    for axis in (0, 1, 0, 1):
        wide = wide.cumsum(axis)
    return wide
