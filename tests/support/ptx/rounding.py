"""Sums, products and fused products in one rounding, for every float format and rounding mode.

Results are first computed in float64 *rounded to odd*: if the exact result is not a float64, the neighbour with an odd
last bit is taken.  Rounding that value once more to a format with at most 51 bits is then the same as rounding the exact
result (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ptx.types import Array


@dataclass(frozen=True)
class Format:
    """A binary float format: bits of the significand with the hidden one, smallest normal exponent, largest value."""

    name: str
    precision: int
    minimum_exponent: int
    largest: float
    infinity: bool = True


FORMATS = {
    "f16": Format("f16", 11, -14, 65504.0),
    "bf16": Format("bf16", 8, -126, float(np.array(0x7F7F0000, np.uint32).view(np.float32))),
    "f32": Format("f32", 24, -126, float(np.finfo(np.float32).max)),
    "tf32": Format("tf32", 11, -126, float(np.array(0x7F7FE000, np.uint32).view(np.float32))),
    "e4m3": Format("e4m3", 4, -6, 448.0, infinity=False),
    "e5m2": Format("e5m2", 3, -14, 57344.0),
}


def round_to(x: Array, form: Format, mode: str = "rn") -> Array:
    """Round float64 values to a format; they stay float64.

    Modes: `rn` to nearest even, `rna` to nearest, ties away, `rz` to zero, `rm` down, `rp` up.
    """
    x = np.asarray(x, np.float64)
    _, exponent = np.frexp(x)
    exponent = np.maximum(exponent - 1, form.minimum_exponent) - (form.precision - 1)
    scaled = np.ldexp(x, -exponent)
    match mode:
        case "rn":
            whole = np.rint(scaled)
        case "rna":
            whole = np.copysign(np.floor(np.abs(scaled) + 0.5), scaled)
        case "rz":
            whole = np.trunc(scaled)
        case "rm":
            whole = np.floor(scaled)
        case "rp":
            whole = np.ceil(scaled)
        case _:
            raise ValueError(f"rounding mode {mode}")
    result = np.where(np.isfinite(x), np.copysign(np.ldexp(whole, exponent), x), x)
    over = np.isfinite(x) & (np.abs(result) > form.largest)
    if over.any():
        up = np.isin(mode, ("rn", "rna")) | ((mode == "rp") & (x > 0)) | ((mode == "rm") & (x < 0))
        limit = np.where(up, np.inf, form.largest)
        result = np.where(over, np.copysign(limit, x), result)
    return result


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """Return the float64 sum and its exact error (Knuth)."""
    total = a + b
    back = total - a
    return total, (a - (total - back)) + (b - back)


def to_odd(value: Array, error: Array) -> Array:
    """Return value + error rounded to odd, where |error| is at most half a unit in the last place of value."""
    value = np.atleast_1d(np.asarray(value, np.float64)).copy()
    error = np.broadcast_to(np.asarray(error), value.shape)
    bits = value.view(np.int64)
    change = (error != 0) & np.isfinite(error) & np.isfinite(value) & (bits & 1 == 0)
    step = np.where((error > 0) == (value > 0), 1, -1)
    return np.where(change, bits + step, bits).view(np.float64)


def sum_odd(a: Array, b: Array) -> Array:
    """Return a + b in float64, rounded to odd."""
    return to_odd(*two_sum(np.asarray(a, np.float64), np.asarray(b, np.float64)))


def fma_odd(a: Array, b: Array, c: Array) -> Array:
    """Return a · b + c in float64, rounded to odd, for factors of at most 26 bits (their product is exact)."""
    return sum_odd(np.asarray(a, np.float64) * np.asarray(b, np.float64), c)


def fma_f32(a: Array, b: Array, c: Array) -> Array:
    """Return the float32 a · b + c, rounded once to nearest.

    The float64 sum, rounded again, is right unless it lies in the middle between two float32: only there, and where
    results are subnormal, the exact error of the sum is asked.
    """
    total = np.asarray(a, np.float64) * b + c
    result = total.astype(np.float32)
    bits = np.atleast_1d(total).view(np.int64)
    doubt = (bits & 0x1FFFFFFF == 0x10000000) | (np.abs(np.atleast_1d(total)) < 2.0**-125)
    if doubt.any():
        exact = round_to(fma_odd(a, b, c), FORMATS["f32"]).astype(np.float32)
        exact = np.where(np.atleast_1d(total) == 0, total, exact).astype(
            np.float32
        )  # the sign of zero is the sum's
        result = np.where(doubt, exact, result)
    return result.reshape(np.shape(total))


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """Return the float64 product and its exact error (Dekker), away from overflow and underflow."""

    def split(x: Array) -> tuple[Array, Array]:
        high = x * 134217729.0
        high = high - (high - x)
        return high, x - high

    product = a * b
    (a1, a0), (b1, b0) = split(a), split(b)
    return product, ((a1 * b1 - product) + a1 * b0 + a0 * b1) + a0 * b0


def fma_f64(a: Array, b: Array, c: Array) -> Array:
    """Return the float64 a · b + c, rounded once to nearest (Boldo and Melquiond); near the limits by fractions."""
    shape = np.broadcast_shapes(np.shape(a), np.shape(b), np.shape(c))
    a, b, c = (np.atleast_1d(x) for x in np.broadcast_arrays(a, b, c))
    product, error = two_product(a, b)
    high, low = two_sum(c, error)
    total, rest = two_sum(product, high)
    result = total + to_odd(*two_sum(low, rest))
    size = np.abs(product)
    usual = (
        (size > 2.0**-900)
        & (size < 2.0**1000)
        & (np.abs(c) < 2.0**1000)
        & (np.abs(a) < 2.0**900)
        & (np.abs(b) < 2.0**900)
    )
    if not usual.all():
        odd = ~usual
        result[odd] = _fma_by_fractions(a[odd], b[odd], c[odd])
    return result.reshape(shape)


def _fma_by_fractions(a: Array, b: Array, c: Array) -> Array:
    """Return a · b + c per element, by rational arithmetic where everything is finite."""
    result = a * b + c
    for i, (x, y, z) in enumerate(zip(a.tolist(), b.tolist(), c.tolist())):
        if np.isfinite(x) and np.isfinite(y) and np.isfinite(z):
            exact = Fraction(x) * Fraction(y) + Fraction(z)
            if exact:
                try:
                    result[i] = float(exact)
                except OverflowError:
                    result[i] = np.inf if exact > 0 else -np.inf
    return result
