"""Errors of elementary functions in float32, in units of the last place: the bounds of docs/design/0009."""

from __future__ import annotations

import numpy as np
import pytest
import tilewright as tw
from op_matrix import fresh_rng

#: Every so many bit patterns: a prime, so that exponents meet all low bits.
STRIDE = 1021
FUNCTIONS = {
    "exp": (2.3, -104.0, 89.0),
    "exp2": (0.9, -151.0, 129.0),
    "expm1": (1.5, -30.0, 89.0),
    "log": (0.9, 0.0, np.inf),
    "log2": (1.1, 0.0, np.inf),
    "log1p": (0.9, -1.0, np.inf),
    "tanh": (3.9, -np.inf, np.inf),
    "sinh": (2.6, -90.0, 90.0),
    "cosh": (2.6, -90.0, 90.0),
}


@pytest.fixture(scope="module")
def patterns():
    """Numbers of every sign, exponent and size, other ones in each run."""
    first = int(fresh_rng().integers(STRIDE))
    return np.arange(first, 2**32, STRIDE, dtype=np.uint64).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_error(name, patterns):
    bound, low, high = FUNCTIONS[name]
    x = patterns[(patterns >= low) & (patterns <= high)]
    with np.errstate(all="ignore"):
        exact = getattr(np, name)(x.astype(np.float64))
        rounded = exact.astype(np.float32)
    result = tw.jit(getattr(tw, name))(x)
    ordinary = np.isfinite(rounded) & np.isfinite(result)
    assert np.array_equal(result[~ordinary], rounded[~ordinary])
    unit = np.spacing(np.abs(rounded[ordinary])).astype(np.float64)
    assert (np.abs(result[ordinary] - exact[ordinary]) / unit).max() <= bound


def test_exp_of_zero_is_one():
    assert (tw.jit(tw.exp)(np.array([0.0, -0.0, 1e-9, -1e-9], np.float32)) == 1).all()
