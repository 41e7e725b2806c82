"""Layers of neural networks without state: norms, attention, rotary embedding, convolution, pooling."""

from __future__ import annotations

import math
from typing import Any

from .. import errors
from ..symbols import SymDim, same, show_shape
from ..values import Tracer
from .contract import linear
from .core import as_tracer, axis_of, broadcast_shapes, cast, emit, floating, need, op, promoted, recorder, reshaped, shape_error
from .elementwise import divide, gelu, multiply, relu, rsqrt, sigmoid, silu, softplus, where
from .indexing import one_hot, take
from .quant import QuantizedTensor, gather_rows
from .reduce import logsumexp

__all__ = [
    "attention",
    "avg_pool",
    "batch_norm",
    "conv",
    "embedding",
    "gelu",
    "layer_norm",
    "linear",
    "log_softmax",
    "logsumexp",
    "max_pool",
    "one_hot",
    "relu",
    "rms_norm",
    "rope",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
]


@op
def softmax(x: Any, /, axis: int = -1) -> Tracer:
    """Compute exp(x) / sum(exp(x)) along an axis, without overflow.

    Args:
        x: [...] float.
        axis: the axis that adds up to one.

    Returns:
        The shape and dtype of x.

    Raises:
        DTypeError: x is a bool.
        ShapeError: the axis is out of range.

    Example:
        >>> y = tw.softmax(np.ones((2, 3), "f"))
    """
    value = floating("softmax", x)
    return emit("softmax", (value,), value.shape, value.dtype, {"axis": axis_of("softmax", axis, value.ndim)})


@op
def log_softmax(x: Any, /, axis: int = -1) -> Tracer:
    """Compute the logarithm of softmax.

    Args:
        x: [...] float.
        axis: the axis whose exponentials add up to one.

    Returns:
        The shape and dtype of x.

    Raises:
        DTypeError: x is a bool.
        ShapeError: the axis is out of range.

    Example:
        >>> y = tw.log_softmax(np.ones((2, 3), "f"))
    """
    value = floating("log_softmax", x)
    axis = axis_of("log_softmax", axis, value.ndim)
    return emit("log_softmax", (value,), value.shape, value.dtype, {"axis": axis})


def _vector(name: str, what: str, vector: Any, x: Tracer) -> Tracer:
    value = cast(need(name, as_tracer(name, vector, x.dtype), "float", f"a float {what}"), x.dtype)
    if value.ndim != 1 or not same(value.shape[0], x.shape[-1]):
        shape_error(
            f"{name}: {what} has shape {show_shape(value.shape)}, expected [{x.shape[-1]}]"
            f" (last dim of x {show_shape(x.shape)})",
            help=f"slice or reshape the {what}; broadcasting is never implicit for weights.",
            sizes=(*value.shape, x.shape[-1]),
        )
    return value


def _last_axis(name: str, x: Any) -> Tracer:
    value = floating(name, x)
    if not value.ndim:
        shape_error(f"{name}: x is 0-d, expected at least one axis")
    return value


@op
def layer_norm(x: Any, /, weight: Any = None, bias: Any = None, *, eps: float = 1e-5) -> Tracer:
    """Normalise the last axis to mean 0 and variance 1, then scale and shift.

    Args:
        x: [..., E] float.
        weight: [E] or None.
        bias: [E] or None.
        eps: added to the variance.

    Returns:
        The shape and dtype of x.

    Raises:
        ShapeError: weight or bias do not have the size of the last axis.
        DTypeError: an operand is no float.

    Example:
        >>> y = tw.layer_norm(np.ones((2, 3), "f"), np.ones(3, "f"), np.zeros(3, "f"))

    Source:
        Ba, Kiros, Hinton, "Layer Normalization" (2016).
    """
    value = _last_axis("layer_norm", x)
    operands = [value]
    counts = [1, 0, 0]
    for i, (what, vector) in enumerate((("weight", weight), ("bias", bias)), 1):
        if vector is not None:
            operands.append(_vector("layer_norm", what, vector, value))
            counts[i] = 1
    attributes = {"eps": float(eps), "operandSegmentSizes": recorder().m.segments(tuple(counts))}
    return emit("layer_norm", operands, value.shape, value.dtype, attributes)


@op
def rms_norm(x: Any, /, weight: Any, *, eps: float = 1e-5) -> Tracer:
    """Divide the last axis by its root mean square, then scale.

    Args:
        x: [..., E] float.
        weight: [E].
        eps: added to the mean square.

    Returns:
        The shape and dtype of x.

    Raises:
        ShapeError: the weight does not have the size of the last axis.
        DTypeError: an operand is no float.

    Example:
        >>> y = tw.rms_norm(np.ones((2, 3), "f"), np.ones(3, "f"))

    Source:
        Zhang, Sennrich, "Root Mean Square Layer Normalization" (2019).
    """
    value = _last_axis("rms_norm", x)
    scale = _vector("rms_norm", "weight", weight, value)
    return emit("rms_norm", (value, scale), value.shape, value.dtype, {"eps": float(eps)})


@op
def rope(x: Any, cos: Any, sin: Any, *, interleaved: bool = False) -> Tracer:
    """Rotate pairs of features by an angle per position (rotary position embedding).

    Args:
        x: [..., S, D] float, D even.
        cos: [S, D/2] cosines of the angles.
        sin: [S, D/2] sines.
        interleaved: pairs are neighbours (2i, 2i + 1); otherwise halves (i, i + D/2).

    Returns:
        The shape and dtype of x.

    Raises:
        ShapeError: D is odd or not static, or the tables do not fit.

    Example:
        >>> y = tw.rope(np.ones((2, 5, 4), "f"), np.ones((5, 2), "f"), np.zeros((5, 2), "f"))

    Source:
        Su et al., "RoFormer" (2021).
    """
    value = floating("rope", x)
    if value.ndim < 2 or not isinstance(value.shape[-1], int) or value.shape[-1] % 2:
        shape_error(f"rope: expected [..., S, D] with static even D, got {show_shape(value.shape)}")
    tables = [cast(floating("rope", table), value.dtype) for table in (cos, sin)]
    for table in tables:
        if table.ndim != 2 or not same(table.shape[0], value.shape[-2]) or not same(table.shape[1], value.shape[-1] // 2):
            shape_error(
                f"rope: a table has shape {show_shape(table.shape)},"
                f" expected [{value.shape[-2]}, {value.shape[-1] // 2}] for x {show_shape(value.shape)}",
                sizes=(*table.shape, *value.shape),
            )
    return emit("rope", (value, *tables), value.shape, value.dtype, {"interleaved": bool(interleaved)})


@op
def attention(q: Any, k: Any, v: Any, mask: Any = None, *, causal: bool = False, scale: float | None = None) -> Tracer:
    """Compute softmax(q @ k.mT * scale + mask) @ v, without the S x T matrix in memory.

    Args:
        q: [B, H, S, D] float.
        k: [B, Hkv, T, D]; Hkv divides H, and H / Hkv queries share a key head.
        v: [B, Hkv, T, Dv].
        mask: broadcast to [B, H, S, T]: bool (True = visible) or float that is added to the scores.
        causal: query s sees key t where t <= s + T - S.
        scale: None for 1 / sqrt(D).

    Returns:
        [B, H, S, Dv].

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the dtypes do not mix.

    Example:
        >>> x = np.ones((1, 2, 3, 4), "f")
        >>> y = tw.attention(x, x, x, causal=True)

    Source:
        Vaswani et al., "Attention Is All You Need" (2017); grouped heads: Ainslie et al., "GQA" (2023).
    """
    dtype, _ = promoted("attention", (q, k, v))
    values = [cast(as_tracer("attention", x, dtype), dtype) for x in (q, k, v)]
    a, b, c = values
    need("attention", a, "float")
    shapes = f"q {show_shape(a.shape)}, k {show_shape(b.shape)}, v {show_shape(c.shape)}"
    if any(x.ndim != 4 for x in values):
        shape_error(f"attention: expected four axes [B, H, S, D], got {shapes}", help="add axes with x[None].")
    heads, kv_heads = a.shape[1], b.shape[1]
    if isinstance(heads, SymDim) or isinstance(kv_heads, SymDim) or heads % kv_heads:
        shape_error(f"attention: key heads must be static and divide the query heads: {shapes}")
    pairs = [(a.shape[0], b.shape[0]), (a.shape[0], c.shape[0]), (kv_heads, c.shape[1]), (a.shape[3], b.shape[3])]
    for x, y in [*pairs, (b.shape[2], c.shape[2])]:
        if not same(x, y):
            shape_error(f"attention: sizes {x} and {y} differ in {shapes}", sizes=(x, y))
    if scale is None:
        if isinstance(a.shape[3], SymDim):
            shape_error(f"attention: D must be static, or scale given: {shapes}")
        scale = 1.0 / math.sqrt(a.shape[3])
    operands = [a, b, c]
    if mask is not None:
        operands.append(_mask(mask, a, b))
    attributes = {"causal": bool(causal), "scale": float(scale)}
    return emit("attention", operands, (*a.shape[:3], c.shape[3]), dtype, attributes)


def _mask(mask: Any, q: Tracer, k: Tracer) -> Tracer:
    from .core import broadcast

    value = as_tracer("attention", mask)
    if value.dtype.is_bool:
        value = where(value, 0.0, cast(as_tracer("attention", -math.inf, q.dtype), q.dtype))
    value = cast(need("attention", value, "float", "a bool or float mask"), q.dtype)
    full = (q.shape[0], q.shape[1], q.shape[2], k.shape[2])
    if value.ndim > 4:
        shape_error(f"attention: mask {show_shape(value.shape)} has more than four axes")
    value = reshaped(value, (*(1,) * (4 - value.ndim), *value.shape))
    result = broadcast_shapes("attention", value.shape, full)
    if not all(map(same, result, full)):
        shape_error(f"attention: mask {show_shape(value.shape)} does not stretch to {show_shape(full)}")
    return broadcast(value, (value.shape[0], value.shape[1], full[2], full[3]))


@op
def embedding(indices: Any, table: Any, *, mode: str = "clip") -> Tracer:
    """Look up rows of a table.

    Args:
        indices: [...] integer.
        table: [V, E]; may be a `QuantizedTensor`, of which only the rows in use are dequantised.
        mode: what happens out of range, as in `tw.take`.

    Returns:
        [..., E].

    Raises:
        DTypeError: the indices are no integers.
        ShapeError: the table is no matrix.

    Example:
        >>> y = tw.nn.embedding(np.int64([0, 2]), np.ones((3, 4), "f"))
    """
    places = need("embedding", as_tracer("embedding", indices), "int")
    if isinstance(table, QuantizedTensor):
        return gather_rows(table, places, mode)
    rows = as_tracer("embedding", table)
    if rows.ndim != 2:
        shape_error(f"embedding: expected a table [V, E], got {show_shape(rows.shape)}")
    return take(rows, places, axis=0, mode=mode)


def _per_axis(name: str, what: str, value: Any, count: int) -> tuple[int, ...]:
    items = (value,) * count if isinstance(value, int) else tuple(value)
    if len(items) != count or any(item < 1 for item in items):
        shape_error(f"{name}: {what} {value} needs one positive number per spatial axis ({count})")
    return items


def _padding(name: str, padding: Any, sizes: Any, window: Any, strides: Any, dilations: Any) -> tuple[Any, Any]:
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
        errors.fail(errors.ArgumentError, f"{name}: padding must be 'same', 'valid' or numbers, got {padding!r}")
    pairs = [(p, p) if isinstance(p, int) else tuple(p) for p in ((padding,) * count if isinstance(padding, int) else padding)]
    if len(pairs) != count or any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
        shape_error(f"{name}: padding {padding} needs a number or a pair >= 0 per spatial axis ({count})")
    return tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)


def _window_shape(name: str, sizes: Any, window: Any, strides: Any, dilations: Any, low: Any, high: Any) -> list[Any]:
    result = []
    for size, k, s, d, a, b in zip(sizes, window, strides, dilations, low, high, strict=True):
        room = size + a + b - (d * (k - 1) + 1)
        if isinstance(room, int) and room < 0:
            shape_error(f"{name}: a window of {d * (k - 1) + 1} does not fit into the padded size {size + a + b}")
        result.append(room // s + 1)
    return result


@op
def conv(
    x: Any, weight: Any, bias: Any = None, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
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

    Returns:
        [N, O, ...].

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the dtypes do not mix.

    Example:
        >>> y = tw.nn.conv(np.ones((1, 2, 8, 8), "f"), np.ones((4, 2, 3, 3), "f"), padding="same")
    """
    dtype, _ = promoted("conv", (x, weight))
    value, kernel = (cast(as_tracer("conv", t, dtype), dtype) for t in (x, weight))
    need("conv", value, "number")
    shapes = f"x {show_shape(value.shape)}, weight {show_shape(kernel.shape)}"
    if value.ndim < 3 or kernel.ndim != value.ndim:
        shape_error(f"conv: expected x [N, C, ...] and weight [O, C/groups, ...] of one rank >= 3, got {shapes}")
    if any(isinstance(size, SymDim) for size in (value.shape[1], *kernel.shape)):
        shape_error(f"conv: channels and window must be static: {shapes}")
    if value.shape[1] != kernel.shape[1] * groups or kernel.shape[0] % groups:
        shape_error(f"conv: channels do not fit groups = {groups}: {shapes}")
    count, window = value.ndim - 2, kernel.shape[2:]
    strides, dilations = (_per_axis("conv", *item, count) for item in (("stride", stride), ("dilation", dilation)))
    low, high = _padding("conv", padding, value.shape[2:], window, strides, dilations)
    spatial = _window_shape("conv", value.shape[2:], window, strides, dilations, low, high)
    attributes = {"strides": strides, "dilations": dilations, "low": low, "high": high, "groups": int(groups)}
    y = emit("conv", (value, kernel), (value.shape[0], kernel.shape[0], *spatial), dtype, attributes)
    if bias is None:
        return y
    shift = as_tracer("conv", bias)
    if shift.ndim != 1 or not same(shift.shape[0], kernel.shape[0]):
        shape_error(f"conv: bias has shape {show_shape(shift.shape)}, expected [{kernel.shape[0]}]")
    return y + reshaped(shift, (1, kernel.shape[0], *(1,) * count))


def _pool(name: str, kind: str, x: Any, window: Any, stride: Any, padding: Any, dilation: Any) -> tuple[Tracer, int]:
    value = need(name, as_tracer(name, x), "number")
    if value.ndim < 3:
        shape_error(f"{name}: expected [N, C, ...spatial], got {show_shape(value.shape)}")
    count = value.ndim - 2
    sizes = _per_axis(name, "window", window, count)
    strides = sizes if stride is None else _per_axis(name, "stride", stride, count)
    dilations = _per_axis(name, "dilation", dilation, count)
    low, high = _padding(name, padding, value.shape[2:], sizes, strides, dilations)
    spatial = _window_shape(name, value.shape[2:], sizes, strides, dilations, low, high)
    attributes = {"kind": kind, "window": sizes, "strides": strides, "dilations": dilations, "low": low, "high": high}
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
def batch_norm(x: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, *, eps: float = 1e-5) -> Tracer:
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
            shape_error(f"batch_norm: {what} has shape {show_shape(t.shape)}, x has {show_shape(value.shape)}")
        return reshaped(t, (t.shape[0], *(1,) * (value.ndim - 2)))

    scale = rsqrt(channels("var", var) + eps)
    if weight is not None:
        scale = multiply(scale, channels("weight", weight))
    y = multiply(value - channels("mean", mean), scale)
    return y if bias is None else y + channels("bias", bias)
