"""Convolution, pooling, and the normalisation that goes with them, over channels-first tensors."""

from __future__ import annotations

import math
from typing import Any

from .. import errors
from ..symbols import SymDim, same, show_shape
from ..values import Tracer
from .contract import precision_of
from .core import as_tracer, cast, emit, floating, need, op, promoted, reshaped, shape_error
from .elementwise import divide, multiply, rsqrt


def _per_axis(name: str, what: str, value: Any, count: int) -> tuple[int, ...]:
    items = (value,) * count if isinstance(value, int) else tuple(value)
    if len(items) != count or any(item < 1 for item in items):
        shape_error(f"{name}: {what} {value} needs one positive number per spatial axis ({count})")
    return items


def _padding(
    name: str, padding: Any, sizes: Any, window: Any, strides: Any, dilations: Any
) -> tuple[Any, Any]:
    count = len(window)
    if padding == "valid":
        return (0,) * count, (0,) * count
    if padding == "same":
        low, high = [], []
        for size, k, s, d in zip(sizes, window, strides, dilations, strict=True):
            if isinstance(size, SymDim) and s != 1:
                shape_error(f"{name}: padding 'same' with strides needs static sizes")
            total = (k - 1) * d if s == 1 else max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
            low.append(total // 2)
            high.append(total - total // 2)
        return tuple(low), tuple(high)
    if isinstance(padding, str):
        errors.fail(
            errors.ArgumentError, f"{name}: padding must be 'same', 'valid' or numbers, got {padding!r}"
        )
    pairs = [
        (p, p) if isinstance(p, int) else tuple(p)
        for p in ((padding,) * count if isinstance(padding, int) else padding)
    ]
    if len(pairs) != count or any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
        shape_error(f"{name}: padding {padding} needs a number or a pair >= 0 per spatial axis ({count})")
    return tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)


def _window_shape(
    name: str, sizes: Any, window: Any, strides: Any, dilations: Any, low: Any, high: Any
) -> list[Any]:
    result = []
    for size, k, s, d, a, b in zip(sizes, window, strides, dilations, low, high, strict=True):
        room = size + a + b - (d * (k - 1) + 1)
        if isinstance(room, int) and room < 0:
            shape_error(
                f"{name}: a window of {d * (k - 1) + 1} does not fit into the padded size {size + a + b}"
            )
        result.append(room // s + 1)
    return result


@op
def conv(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    precision: str | None = None,
) -> Tracer:
    """Convolve (correlate) over the spatial axes; 1-D, 2-D or 3-D by the rank.

    Args:
        x: [N, C, ...spatial] number.
        weight: [O, C / groups, ...window].
        bias: [O] or None.
        stride: per spatial axis, or one int.
        padding: "same", "valid", an int, or per axis an int or a (low, high) pair.
        dilation: distance of window elements, per axis or one int.
        groups: channels are split into so many independent groups.
        precision: what float32 factors may be rounded to, as in `tw.matmul`.

    Returns:
        [N, O, ...].

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the dtypes do not mix.
        ArgumentError: the precision does not exist.

    Example:
        >>> y = tw.nn.conv(np.ones((1, 2, 8, 8), "f"), np.ones((4, 2, 3, 3), "f"), padding="same")
    """
    dtype, _ = promoted("conv", (x, weight))
    value, kernel = (cast(as_tracer("conv", t, dtype), dtype) for t in (x, weight))
    need("conv", value, "number")
    shapes = f"x {show_shape(value.shape)}, weight {show_shape(kernel.shape)}"
    if value.ndim < 3 or kernel.ndim != value.ndim:
        shape_error(
            f"conv: expected x [N, C, ...] and weight [O, C/groups, ...] of one rank >= 3, got {shapes}"
        )
    if any(isinstance(size, SymDim) for size in (value.shape[1], *kernel.shape)):
        shape_error(f"conv: channels and window must be static: {shapes}")
    if value.shape[1] != kernel.shape[1] * groups or kernel.shape[0] % groups:
        shape_error(f"conv: channels do not fit groups = {groups}: {shapes}")
    count, window = value.ndim - 2, kernel.shape[2:]
    strides, dilations = (
        _per_axis("conv", *item, count) for item in (("stride", stride), ("dilation", dilation))
    )
    low, high = _padding("conv", padding, value.shape[2:], window, strides, dilations)
    spatial = _window_shape("conv", value.shape[2:], window, strides, dilations, low, high)
    attributes = {"strides": strides, "dilations": dilations, "low": low, "high": high, "groups": int(groups)}
    attributes |= precision_of("conv", precision, dtype)
    y = emit("conv", (value, kernel), (value.shape[0], kernel.shape[0], *spatial), dtype, attributes)
    if bias is None:
        return y
    shift = as_tracer("conv", bias)
    if shift.ndim != 1 or not same(shift.shape[0], kernel.shape[0]):
        shape_error(f"conv: bias has shape {show_shape(shift.shape)}, expected [{kernel.shape[0]}]")
    return y + reshaped(shift, (1, kernel.shape[0], *(1,) * count))


def _pool(
    name: str, kind: str, x: Any, window: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[Tracer, int]:
    value = need(name, as_tracer(name, x), "number")
    if value.ndim < 3:
        shape_error(f"{name}: expected [N, C, ...spatial], got {show_shape(value.shape)}")
    count = value.ndim - 2
    sizes = _per_axis(name, "window", window, count)
    strides = sizes if stride is None else _per_axis(name, "stride", stride, count)
    dilations = _per_axis(name, "dilation", dilation, count)
    low, high = _padding(name, padding, value.shape[2:], sizes, strides, dilations)
    spatial = _window_shape(name, value.shape[2:], sizes, strides, dilations, low, high)
    attributes = {
        "kind": kind,
        "window": sizes,
        "strides": strides,
        "dilations": dilations,
        "low": low,
        "high": high,
    }
    return emit("pool", (value,), (*value.shape[:2], *spatial), value.dtype, attributes), math.prod(sizes)


@op
def max_pool(x: Any, /, window: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1) -> Tracer:
    """Take the largest element of each window.

    Args:
        x: [N, C, ...spatial] number.
        window: per spatial axis, or one int.
        stride: None for the window.
        padding: as in `tw.nn.conv`; padding never wins.
        dilation: distance of window elements.

    Returns:
        [N, C, ...].

    Raises:
        ShapeError: the window does not fit.

    Example:
        >>> y = tw.nn.max_pool(np.ones((1, 2, 8, 8), "f"), 2)
    """
    return _pool("max_pool", "max", x, window, stride, padding, dilation)[0]


@op
def avg_pool(x: Any, /, window: Any, *, stride: Any = None, padding: Any = 0) -> Tracer:
    """Average each window; padding counts as zeros.

    Args:
        x: [N, C, ...spatial] float.
        window: per spatial axis, or one int.
        stride: None for the window.
        padding: as in `tw.nn.conv`.

    Returns:
        [N, C, ...].

    Raises:
        ShapeError: the window does not fit.

    Example:
        >>> y = tw.nn.avg_pool(np.ones((1, 2, 8, 8), "f"), 2)
    """
    total, count = _pool("avg_pool", "sum", floating("avg_pool", x), window, stride, padding, 1)
    return divide(total, float(count))


@op
def batch_norm(
    x: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, *, eps: float = 1e-5
) -> Tracer:
    """Normalise channels with statistics from training.

    Args:
        x: [N, C, ...] float.
        mean: [C].
        var: [C].
        weight: [C] or None.
        bias: [C] or None.
        eps: added to the variance.

    Returns:
        The shape and dtype of x.

    Raises:
        ShapeError: a vector does not have C elements.

    Example:
        >>> y = tw.nn.batch_norm(np.ones((1, 2, 4), "f"), np.zeros(2, "f"), np.ones(2, "f"))
    """
    value = floating("batch_norm", x)

    def channels(what: str, vector: Any) -> Tracer:
        t = cast(floating("batch_norm", vector), value.dtype)
        if value.ndim < 2 or t.ndim != 1 or not same(t.shape[0], value.shape[1]):
            shape_error(
                f"batch_norm: {what} has shape {show_shape(t.shape)}, x has {show_shape(value.shape)}"
            )
        return reshaped(t, (t.shape[0], *(1,) * (value.ndim - 2)))

    scale = rsqrt(channels("var", var) + eps)
    if weight is not None:
        scale = multiply(scale, channels("weight", weight))
    y = multiply(value - channels("mean", mean), scale)
    return y if bias is None else y + channels("bias", bias)
