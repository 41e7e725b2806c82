"""The array API standard's names, and NumPy's, for traced values and arrays.

Inside a traced function these record into the program; outside they compute at once. `x.__array_namespace__()` of a
traced value is this module. Default dtypes are float32 and int64; promotion follows the standard.

Source: https://data-apis.org/array-api/latest/
"""

from __future__ import annotations

import math
from typing import Any

from ..dtypes import (
    bfloat16,
    bool_,
    finfo,
    float16,
    float32,
    float64,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    isdtype,
    uint8,
    uint16,
    uint32,
    uint64,
)
from ..ops import (
    abs,
    acos,
    acosh,
    add,
    all,
    any,
    arange,
    argmax,
    argmin,
    asarray,
    asin,
    asinh,
    astype,
    atan,
    atan2,
    atanh,
    average,
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    broadcast_arrays,
    broadcast_to,
    cbrt,
    ceil,
    clip,
    concat,
    copysign,
    cos,
    cosh,
    count_nonzero,
    divide,
    dot,
    einsum,
    equal,
    exp,
    exp2,
    expand_dims,
    expm1,
    eye,
    flip,
    floor,
    floor_divide,
    full,
    full_like,
    greater,
    greater_equal,
    hypot,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    linspace,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    matmul,
    matrix_transpose,
    max,
    maximum,
    mean,
    meshgrid,
    min,
    minimum,
    moveaxis,
    multiply,
    negative,
    not_equal,
    ones,
    ones_like,
    outer,
    pad,
    positive,
    pow,
    prod,
    reciprocal,
    remainder,
    repeat,
    reshape,
    roll,
    round,
    sign,
    signbit,
    sin,
    sinh,
    split,
    sqrt,
    square,
    squeeze,
    stack,
    std,
    subtract,
    sum,
    swapaxes,
    take,
    take_along_axis,
    tan,
    tanh,
    tensordot,
    tile,
    transpose,
    tril,
    triu,
    trunc,
    var,
    vecdot,
    where,
    zeros,
    zeros_like,
)
from ..ops import cumprod as cumulative_prod
from ..ops import cumsum as cumulative_sum
from .combined import (
    allclose,
    array_equal,
    cross,
    diagonal,
    isclose,
    nanmax,
    nanmean,
    nanmin,
    nansum,
    select,
    trace,
)

__array_api_version__ = "2024.12"

e, pi, inf, nan, newaxis = math.e, math.pi, math.inf, math.nan, None
# bool is the standard's name of the dtype; the builtin stays reachable as `builtins.bool`.
bool = bool_

# NumPy's names where the standard has others.
absolute, arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh = (
    abs,
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
)
concatenate, invert, left_shift, right_shift = concat, bitwise_invert, bitwise_left_shift, bitwise_right_shift
mod, power, true_divide, float_power, amax, amin = remainder, pow, divide, pow, max, min
cumsum, cumprod, array, around, rint, fix = cumulative_sum, cumulative_prod, asarray, round, round, trunc
permute_dims, bitwise_not, bitwise_count = transpose, bitwise_invert, None
del bitwise_count


def isrealobj(x: Any) -> Any:
    """Return True: there are no complex dtypes."""
    return True


def result_type(*arrays_and_dtypes: Any) -> Any:
    """Return the dtype that a mix is promoted to.

    Raises:
        DTypeError: the mix is undefined.

    Example:
        >>> tw.numpy.result_type("int8", "uint8")
        tilewright.int16
    """
    import numpy as np

    from .. import dtypes
    from ..ops.core import promoted

    named = (dtypes.of(x) if isinstance(x, (str, type, np.dtype)) else x for x in arrays_and_dtypes)
    return promoted("result_type", tuple(named))[0]


def can_cast(from_: Any, to: Any, /) -> Any:
    """Tell whether a dtype is promoted to another one without loss.

    Example:
        >>> tw.numpy.can_cast("int8", "int16")
        True
    """
    from .. import dtypes, errors

    try:
        return dtypes.promote(from_ if not hasattr(from_, "dtype") else from_.dtype, to) is dtypes.of(to)
    except errors.DTypeError:
        return False


def empty(shape: Any, *, dtype: Any = "float32") -> Any:
    """Make a tensor; its elements are zeros."""
    return zeros(shape, dtype=dtype)


def empty_like(x: Any, /, *, dtype: Any = None) -> Any:
    """Make a tensor of the same shape; its elements are zeros."""
    return zeros_like(x, dtype=dtype)


def ptp(x: Any, axis: Any = None) -> Any:
    """Return the distance of the largest and the smallest element."""
    return max(x, axis=axis) - min(x, axis=axis)


def vstack(arrays: Any) -> Any:
    """Join along the first axis; vectors become rows."""
    return concat([reshape(x, (1, x.shape[0])) if len(x.shape) == 1 else x for x in arrays], axis=0)


def hstack(arrays: Any) -> Any:
    """Join along the second axis; vectors along their only one."""
    items = list(arrays)
    return concat(items, axis=0 if len(items[0].shape) == 1 else 1)


def atleast_1d(x: Any) -> Any:
    """Give a 0-d tensor an axis."""
    return x if len(x.shape) else reshape(x, (1,))


def ravel(x: Any) -> Any:
    """Flatten to one axis."""
    return reshape(x, (-1,))


def unstack(x: Any, /, *, axis: int = 0) -> Any:
    """Split along an axis of static size, and drop it."""
    moved = moveaxis(x, axis, 0)
    return tuple(moved[i] for i in range(moved.shape[0]))


def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """Replace NaN and infinities by numbers."""
    info = finfo(x.dtype)
    y = where(isnan(x), nan, x)
    y = where(x == math.inf, info.max if posinf is None else posinf, y)
    return where(x == -math.inf, info.min if neginf is None else neginf, y)


def diff(x: Any, axis: int = -1) -> Any:
    """Subtract each element from the next along an axis."""
    from ..ops.indexing import slice_axis

    size = x.shape[axis]
    place = axis % len(x.shape)
    return slice_axis(x, place, 1, size) - slice_axis(x, place, 0, size - 1)


class linalg:
    """The part of the standard's extension `linalg` that tilewright has."""

    cross = staticmethod(cross)
    matmul, outer, tensordot, vecdot, matrix_transpose = (
        staticmethod(matmul),
        staticmethod(outer),
        staticmethod(tensordot),
        staticmethod(vecdot),
        staticmethod(matrix_transpose),
    )

    @staticmethod
    def diagonal(x: Any, /, *, offset: int = 0) -> Any:
        """Return the diagonals of matrices, the last two axes."""
        return diagonal(x, offset, -2, -1)

    @staticmethod
    def trace(x: Any, /, *, offset: int = 0) -> Any:
        """Add up the diagonals of matrices, the last two axes."""
        return trace(x, offset, -2, -1)

    @staticmethod
    def vector_norm(x: Any, /, *, axis: Any = None, keepdims: Any = False, ord: float = 2) -> Any:
        """Compute the length of vectors, for ord 1, 2 and infinity."""
        if ord == 1:
            return sum(abs(x), axis=axis, keepdims=keepdims)
        if ord == math.inf:
            return max(abs(x), axis=axis, keepdims=keepdims)
        if ord != 2:
            from .. import errors

            errors.fail(
                errors.UnsupportedOpError, f"vector_norm: ord {ord} is not supported", help="use 1, 2 or inf."
            )
        return sqrt(sum(square(x), axis=axis, keepdims=keepdims))

    @staticmethod
    def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: Any = False) -> Any:
        """Compute the Euclidean (Frobenius) norm."""
        return linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=2 if ord in (None, "fro") else ord)


def __array_namespace_info__() -> Any:
    """Describe the namespace, as the standard asks."""
    return _Info()


class _Info:
    def capabilities(self) -> dict[str, Any]:
        return {"boolean indexing": False, "data-dependent shapes": False, "max dimensions": None}

    def default_device(self) -> str:
        return "cpu"

    def devices(self) -> list[str]:
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        return {"real floating": float32, "complex floating": None, "integral": int64, "indexing": int64}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Any]:
        rows = (
            bool_,
            int8,
            int16,
            int32,
            int64,
            uint8,
            uint16,
            uint32,
            uint64,
            float16,
            bfloat16,
            float32,
            float64,
        )
        return {
            "bool" if row is bool_ else row.name: row for row in rows if kind is None or isdtype(row, kind)
        }


__all__ = [  # pyright: ignore[reportUnsupportedDunderAll]
    name for name in dir() if not name.startswith("_") and name not in ("Any", "annotations", "math")
]
