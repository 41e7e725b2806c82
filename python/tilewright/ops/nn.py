"""Layers of neural networks without state: norms, attention, rotary embedding, lookup."""

from __future__ import annotations

import math
from typing import Any

from ..symbols import SymDim, same, show_shape
from ..values import Tracer
from .activations import gelu, relu, softplus
from .contract import linear
from .conv import avg_pool, batch_norm, conv, max_pool
from .core import (
    as_tracer,
    axis_of,
    broadcast_shapes,
    cast,
    emit,
    floating,
    need,
    op,
    promoted,
    recorder,
    reshaped,
    shape_error,
)
from .elementwise import sigmoid, silu, where
from .gathering import one_hot, take
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
        if (
            table.ndim != 2
            or not same(table.shape[0], value.shape[-2])
            or not same(table.shape[1], value.shape[-1] // 2)
        ):
            shape_error(
                f"rope: a table has shape {show_shape(table.shape)},"
                f" expected [{value.shape[-2]}, {value.shape[-1] // 2}] for x {show_shape(value.shape)}",
                sizes=(*table.shape, *value.shape),
            )
    return emit("rope", (value, *tables), value.shape, value.dtype, {"interleaved": bool(interleaved)})


@op
def attention(
    q: Any, k: Any, v: Any, mask: Any = None, *, causal: bool = False, scale: float | None = None
) -> Tracer:
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
        shape_error(
            f"attention: expected four axes [B, H, S, D], got {shapes}", help="add axes with x[None]."
        )
    heads, kv_heads = a.shape[1], b.shape[1]
    if isinstance(heads, SymDim) or isinstance(kv_heads, SymDim) or heads % kv_heads:
        shape_error(f"attention: key heads must be static and divide the query heads: {shapes}")
    pairs = [
        (a.shape[0], b.shape[0]),
        (a.shape[0], c.shape[0]),
        (kv_heads, c.shape[1]),
        (a.shape[3], b.shape[3]),
    ]
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
