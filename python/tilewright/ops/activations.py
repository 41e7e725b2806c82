"""Activation functions of neural networks that take more than one row of the table of elementwise ops."""

from __future__ import annotations

from typing import Any

from .. import errors
from ..values import Tracer
from .core import emit, floating, op
from .elementwise import abs, exp, log1p, maximum


@op
def relu(x: Any, /) -> Tracer:
    """Compute max(x, 0).

    Args:
        x: [...] number.

    Raises:
        DTypeError: x is a bool.

    Example:
        >>> y = tw.relu(np.float32([-1, 2]))
    """
    return maximum(x, 0)


@op
def gelu(x: Any, /, approximate: str | bool = "none") -> Tracer:
    """Compute x * Phi(x), Phi being the normal distribution.

    Args:
        x: [...] float.
        approximate: "none" for the exact form, "tanh" (or True) for the usual approximation.

    Raises:
        DTypeError: x is no float.
        ArgumentError: another form is asked for.

    Example:
        >>> y = tw.gelu(np.float32([0.5]), approximate="tanh")
    """
    form = {"True": "tanh", "False": "none"}.get(str(approximate), approximate)
    if form not in ("none", "tanh"):
        errors.fail(errors.ArgumentError, f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    value = floating("gelu", x)
    return emit("gelu", (value,), value.shape, value.dtype, {"approximate": form})


@op
def softplus(x: Any, /) -> Tracer:
    """Compute log(1 + exp(x)) without overflow.

    Args:
        x: [...] float.

    Raises:
        DTypeError: x is no float.

    Example:
        >>> y = tw.softplus(np.float32([0.5]))
    """
    value = floating("softplus", x)
    return maximum(value, 0.0) + log1p(exp(-abs(value)))
