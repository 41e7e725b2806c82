"""Sums of products: matmul and what is written with it; all end in one `tw.dot_general`."""

from __future__ import annotations

import builtins
from typing import Any

from .. import dtypes, errors
from ..precision import HIGHEST, check
from ..symbols import product, same, show_shape
from ..values import Tracer
from .core import (
    as_tracer,
    axis_of,
    broadcast,
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
from .elementwise import multiply
from .reduce import sum as sum_


def _pair(name: str, a: Any, b: Any) -> tuple[Tracer, Tracer]:
    from .quant import QuantizedTensor

    if _is_float8(a) and _is_float8(b):
        left, right = as_tracer(name, a), as_tracer(name, b)
        # One of each kind: float32 has the values of both.
        return (
            (left, right)
            if left.dtype is right.dtype
            else (cast(left, dtypes.float32), cast(right, dtypes.float32))
        )
    dtype, _ = promoted(name, (a, b))
    a, b = (x.dequantize(dtype) if isinstance(x, QuantizedTensor) else x for x in (a, b))
    left, right = (cast(as_tracer(name, x, dtype), dtype) for x in (a, b))
    need(name, left, "number")
    return left, right


def _is_float8(x: Any) -> bool:
    return getattr(x, "dtype", None) is not None and dtypes.of(x).is_float8


def precision_of(name: str, precision: str | None, *dtypes_: Any) -> dict[str, str]:
    """Return the attribute for what factors may be rounded to: nothing where they stay as they are.

    Args:
        name: the op, for messages.
        precision: as the user gave it; None for what was asked of the whole function.
        dtypes_: of factors and result; it concerns float32 alone.
    """
    found = check(name, precision) or recorder().precision
    is_rounded = found != HIGHEST and all(dtype is dtypes.float32 for dtype in dtypes_)
    return {"precision": found} if is_rounded else {}


def product_of(
    name: str,
    a: Tracer,
    b: Tracer,
    batch: tuple[Any, Any],
    contract: tuple[Any, Any],
    dtype: Any = None,
    precision: str | None = None,
) -> Tracer:
    """Emit `tw.dot_general` for (axes of a, axes of b) that are batched and that are added up."""
    for i, j in [*zip(*batch, strict=True), *zip(*contract, strict=True)]:
        if not same(a.shape[i], b.shape[j]):
            shape_error(
                f"{name}: {show_shape(a.shape)} and {show_shape(b.shape)} do not match:"
                f" axis {i} of the first is {a.shape[i]}, axis {j} of the second is {b.shape[j]}",
                sizes=(a.shape[i], b.shape[j]),
            )
    shape = (
        *(a.shape[i] for i in batch[0]),
        *(size for i, size in enumerate(a.shape) if i not in batch[0] and i not in contract[0]),
        *(size for j, size in enumerate(b.shape) if j not in batch[1] and j not in contract[1]),
    )
    attributes: dict[str, Any] = {
        "lhs_batch": tuple(batch[0]),
        "rhs_batch": tuple(batch[1]),
        "lhs_contract": tuple(contract[0]),
        "rhs_contract": tuple(contract[1]),
    }
    default = dtypes.float32 if a.dtype.is_float8 else a.dtype
    result = default if dtype is None else dtypes.of(dtype)
    if result.kind != a.dtype.kind or result.bits < a.dtype.bits or result.is_storage:
        errors.fail(
            errors.DTypeError,
            f"{name}: the result of {a.dtype} operands cannot be {result}",
            help="it has their kind and at least their width; convert operands or result with .astype(...).",
        )
    attributes |= precision_of(name, precision, a.dtype, result)
    return emit("dot_general", (a, b), shape, result, attributes)


@op
def dot_general(
    a: Any,
    b: Any,
    *,
    lhs_contract: Any,
    rhs_contract: Any,
    lhs_batch: Any = (),
    rhs_batch: Any = (),
    dtype: Any = None,
    precision: str | None = None,
) -> Tracer:
    """Multiply and add up over paired axes, for each combination of the others.

    Args:
        a: [...] number.
        b: [...] number; promoted with a.
        lhs_contract: axes of a that are added up, paired with `rhs_contract` of b.
        rhs_contract: see above.
        lhs_batch: axes of a that run in step with `rhs_batch` of b.
        rhs_batch: see above.
        dtype: of the result; wider than the operands where asked for.
        precision: what float32 factors may be rounded to, as in `tw.matmul`.

    Returns:
        Batch axes, then the free axes of a, then those of b. float16 and bfloat16 are added up in float32,
        8-bit floats too, whose result is float32 unless `dtype` says otherwise.

    Raises:
        ShapeError: paired sizes differ, or an axis is out of range.
        DTypeError: the dtypes do not mix.
        ArgumentError: the precision does not exist.

    Example:
        >>> y = tw.dot_general(np.ones((2, 3), "f"), np.ones((4, 3), "f"), lhs_contract=(1,), rhs_contract=(1,))
    """
    left, right = _pair("dot_general", a, b)
    lists = [
        tuple(axis_of("dot_general", axis, x.ndim) for axis in axes)
        for axes, x in ((lhs_batch, left), (rhs_batch, right), (lhs_contract, left), (rhs_contract, right))
    ]
    if len(lists[0]) != len(lists[1]) or len(lists[2]) != len(lists[3]):
        shape_error("dot_general: the lists of paired axes differ in length")
    return product_of(
        "dot_general", left, right, (lists[0], lists[1]), (lists[2], lists[3]), dtype, precision
    )


@op
def matmul(a: Any, b: Any, /, *, precision: str | None = None) -> Tracer:
    """Multiply matrices; leading axes are broadcast.

    Args:
        a: [..., M, K], or [K].
        b: [..., K, N], or [K]; may be a `QuantizedTensor`, whose dequantisation is fused.
        precision: "highest" multiplies float32 factors as they are. "tf32" allows rounding to TensorFloat-32 first,
            which has 8 bits of exponent and 10 of significand; sums stay float32. GPUs make use of it, CPUs compute
            float32. None is what `tw.jit(..., precision=...)` asks for, by default "highest". Other dtypes are not
            concerned.

    Returns:
        [..., M, N], without the axes that a vector lacks; float32 for 8-bit floats (of either kind).

    Raises:
        ShapeError: the sizes K differ, the leading axes do not broadcast, or an operand is 0-d.
        DTypeError: the dtypes do not mix.
        ArgumentError: the precision does not exist.

    Example:
        >>> y = tw.matmul(np.ones((2, 3), "f"), np.ones((3, 4), "f"))
    """
    from .quant import QuantizedTensor

    if (
        isinstance(b, QuantizedTensor)
        and b.transposed
        and len(b.shape) == 2
        and not isinstance(a, QuantizedTensor)
    ):
        # The stored matrix is [N, K]: contract its rows instead of transposing what was dequantised.
        left, right = _pair("matmul", a, b.T)
        _check_matmul(left.shape, b.shape)
        return product_of("matmul", left, right, ((), ()), ((left.ndim - 1,), (1,)), precision=precision)
    left, right = _pair("matmul", a, b)
    _check_matmul(left.shape, right.shape)
    if right.ndim <= 2:
        return product_of("matmul", left, right, ((), ()), ((left.ndim - 1,), (0,)), precision=precision)
    if left.ndim == 1:
        return product_of("matmul", right, left, ((), ()), ((right.ndim - 2,), (0,)), precision=precision)
    batch = broadcast_shapes("matmul", left.shape[:-2], right.shape[:-2])
    left, right = (broadcast(x, (*batch, *x.shape[-2:])) for x in (left, right))
    axes = tuple(range(len(batch)))
    contract = ((left.ndim - 1,), (right.ndim - 2,))
    return product_of("matmul", left, right, (axes, axes), contract, precision=precision)


def _check_matmul(a: Any, b: Any) -> None:
    if not a or not b:
        shape_error(f"matmul: 0-d operand: {show_shape(a)} @ {show_shape(b)}", help="use * for scalars.")
    inner = b[-2] if len(b) > 1 else b[0]
    if not same(a[-1], inner):
        shape_error(
            f"matmul: {show_shape(a)} @ {show_shape(b)}: the inner sizes {a[-1]} and {inner} differ",
            help="transpose one operand with .T or .mT." if len(b) > 1 and same(a[-1], b[-1]) else None,
            sizes=(a[-1], inner),
        )


@op
def dot(a: Any, b: Any, /, *, precision: str | None = None) -> Tracer:
    """Multiply as `numpy.dot`: last axis of a with the last but one of b.

    Args:
        a: [..., K].
        b: [..., K, N], or [K].
        precision: what float32 factors may be rounded to, as in `tw.matmul`.

    Raises:
        ShapeError: the sizes K differ.

    Example:
        >>> y = tw.dot(np.ones(3, "f"), np.ones(3, "f"))
    """
    left, right = _pair("dot", a, b)
    if not left.ndim or not right.ndim:
        return multiply(left, right)
    contract = ((left.ndim - 1,), (builtins.max(right.ndim - 2, 0),))
    return product_of("dot", left, right, ((), ()), contract, precision=precision)


@op
def vecdot(a: Any, b: Any, /, *, axis: int = -1, precision: str | None = None) -> Tracer:
    """Add up products along one axis; the other axes are broadcast.

    Args:
        a: [..., K].
        b: [..., K].
        axis: the axis, counted from the end.
        precision: what float32 factors may be rounded to, as in `tw.matmul`.

    Raises:
        ShapeError: the sizes K differ or the rest does not broadcast.

    Example:
        >>> y = tw.vecdot(np.ones((2, 3), "f"), np.ones((2, 3), "f"))
    """
    left, right = _pair("vecdot", a, b)
    shape = broadcast_shapes("vecdot", left.shape, right.shape)
    left, right = broadcast(left, shape), broadcast(right, shape)
    place = axis_of("vecdot", axis, len(shape))
    batch = tuple(i for i in range(len(shape)) if i != place)
    return product_of("vecdot", left, right, (batch, batch), ((place,), (place,)), precision=precision)


@op
def outer(a: Any, b: Any, /) -> Tracer:
    """Multiply each element of a with each of b.

    Args:
        a: [M]; more axes are flattened.
        b: [N]; more axes are flattened.

    Returns:
        [M, N].

    Example:
        >>> y = tw.outer(np.ones(2, "f"), np.ones(3, "f"))
    """
    left, right = _pair("outer", a, b)
    return multiply(reshaped(left, (product(left.shape), 1)), reshaped(right, (1, product(right.shape))))


@op
def tensordot(a: Any, b: Any, /, *, axes: Any = 2, precision: str | None = None) -> Tracer:
    """Add up products over several pairs of axes.

    Args:
        a: [...].
        b: [...].
        axes: how many (the last of a with the first of b), or a pair of lists of axes.
        precision: what float32 factors may be rounded to, as in `tw.matmul`.

    Raises:
        ShapeError: paired sizes differ.

    Example:
        >>> y = tw.tensordot(np.ones((2, 3), "f"), np.ones((3, 4), "f"), axes=1)
    """
    left, right = _pair("tensordot", a, b)
    if isinstance(axes, int):
        pairs: Any = (range(left.ndim - axes, left.ndim), range(axes))
    else:
        pairs = tuple((item,) if isinstance(item, int) else tuple(item) for item in axes)
    first = tuple(axis_of("tensordot", i, left.ndim) for i in pairs[0])
    second = tuple(axis_of("tensordot", i, right.ndim) for i in pairs[1])
    if len(first) != len(second):
        shape_error(f"tensordot: {len(first)} axes against {len(second)}")
    return product_of("tensordot", left, right, ((), ()), (first, second), precision=precision)


@op
def linear(
    x: Any, weight: Any, bias: Any = None, *, activations: str = "float32", precision: str | None = None
) -> Tracer:
    """Compute x @ weight.T + bias.

    Args:
        x: [..., K].
        weight: [N, K]; may be a `QuantizedTensor`.
        bias: [N] or None.
        activations: "float32" computes with `x` as it is. "int8" first rounds each group of 32 neighbours of `x` to
            integers of -127..127 with one scale, the largest magnitude over 127: quantised weights then meet integers,
            which costs a fraction of the arithmetic and about half a percent of accuracy.
        precision: what float32 factors may be rounded to, as in `tw.matmul`.

    Returns:
        [..., N].

    Raises:
        ShapeError: the sizes do not fit.
        ArgumentError: "int8" with a weight that is not quantised, or another word; the precision does not exist.

    Example:
        >>> y = tw.linear(np.ones((2, 3), "f"), np.ones((4, 3), "f"))
    """
    if activations != "float32":
        from .quant import round_activations

        x, weight = round_activations("linear", x, weight, activations)
    left, right = _pair("linear", x, weight)
    if right.ndim != 2 or not left.ndim:
        shape_error(
            f"linear: expected x [..., K] and weight [N, K], got {show_shape(left.shape)} and {show_shape(right.shape)}"
        )
    y = product_of("linear", left, right, ((), ()), ((left.ndim - 1,), (1,)), precision=precision)
    return y if bias is None else y + bias


@op
def norm(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tracer:
    """Compute the Euclidean length.

    Args:
        x: [...] float.
        axis: axes to measure along; None for all.
        keepdims: keep the axes with size 1.

    Raises:
        DTypeError: x is a bool.

    Example:
        >>> y = tw.norm(np.ones((2, 3), "f"), axis=1)
    """
    from .elementwise import sqrt, square

    return sqrt(sum_(square(floating("norm", x)), axis=axis, keepdims=keepdims))
