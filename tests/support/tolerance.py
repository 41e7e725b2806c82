"""The one rule for how far a result may be from the float64 reference."""

from __future__ import annotations

import numpy as np
from tilewright import dtypes

# Elementwise functions: what a good vector library promises (the vector forms of pow and of the hyperbolic
# functions need the most), and half a unit for rounding. 16-bit types are computed in float32 and rounded once.
_ULPS = {"float64": 8.0, "float32": 8.0, "float16": 1.0, "bfloat16": 1.0}


def allowed(
    reference: np.ndarray,
    dtype,
    length: int = 1,
    magnitude: np.ndarray | float | None = None,
    rounded: int = 0,
) -> np.ndarray:
    """Return the absolute error allowed for each element.

    Args:
        reference: the result in float64.
        dtype: the dtype of the result that is judged.
        length: how many terms are added up for one element.
        magnitude: the sum of absolute values of the terms (what cancellation is measured against); without it no
            cancellation is allowed.
        rounded: how many times terms of that magnitude are rounded to the dtype itself on the way.

    Returns:
        eps * ulps * |reference| for the function and the final rounding, plus, for sums, the accumulator's eps times
        the growth of rounding errors over ``length`` additions (a random walk, with a factor of safety) times
        magnitude.
    """
    row = dtypes.of(dtype)
    info, inner = dtypes.finfo(row), dtypes.finfo(dtypes.accumulator(row))
    size = np.abs(np.where(np.isfinite(reference), reference, 0.0))
    bound = info.eps * _ULPS[row.name] * size + 4 * info.smallest_subnormal
    if magnitude is not None:
        growth = inner.eps * (8 + 2 * np.sqrt(length)) + rounded * info.eps
        bound = bound + growth * np.abs(magnitude)
    return bound


def assert_close(
    actual: np.ndarray,
    reference: np.ndarray,
    dtype,
    length=1,
    magnitude=None,
    what: str = "",
    rounded: int = 0,
) -> None:
    """Assert that floats are within :func:`allowed` of the reference, and everything else equal.

    NaN must stand where NaN stands, infinities must be equal; a value whose rounding to ``dtype`` overflows may be
    infinite.
    """
    row = dtypes.of(dtype)
    assert actual.shape == reference.shape, f"{what}: shape {actual.shape}, expected {reference.shape}"
    assert dtypes.of(actual) is row, f"{what}: dtype {actual.dtype}, expected {row}"
    if not row.is_float:
        np.testing.assert_array_equal(actual, reference, err_msg=what)
        return
    wide = np.asarray(actual, np.float64)
    with np.errstate(all="ignore"):
        bound = allowed(reference, row, length, magnitude, rounded)
        largest = dtypes.finfo(row).max
        clipped = np.where(np.abs(reference) > largest, np.copysign(np.inf, reference), reference)
        near_limit = (
            np.isinf(wide) & (np.sign(wide) == np.sign(reference)) & (np.abs(reference) + bound >= largest)
        )
        same = (wide == clipped) | (np.isnan(wide) & np.isnan(reference)) | near_limit
        error = np.abs(wide - reference)
        good = same | (np.isfinite(wide) & np.isfinite(reference) & (error <= bound))
    if not good.all():
        worst = np.unravel_index(
            np.argmax(np.where(good, -1.0, np.nan_to_num(error / bound, nan=1e300))), good.shape
        )
        raise AssertionError(
            f"{what}: {int((~good).sum())} of {good.size} elements are off; at {tuple(map(int, worst))}: "
            f"{wide[worst]!r}, expected {reference[worst]!r} ± {np.broadcast_to(bound, good.shape)[worst]:.3g}"
        )
