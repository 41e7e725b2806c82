"""The one table of element types.

Each row joins the three names of a type: NumPy's (``float32``), MLIR's (``f32``) and the array object's
(``numpy.dtype``, through ml_dtypes for bfloat16, 8-bit floats and the 4-bit integers). Promotion is the array API
standard's, never value-based; what the standard leaves undefined is a :class:`~tilewright.DTypeError`.

Source: https://data-apis.org/array-api/latest/API_specification/type_promotion.html
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np

from . import errors

__all__ = [
    "ALL",
    "DEFAULT_FLOAT",
    "DEFAULT_INT",
    "DType",
    "accumulator",
    "bfloat16",
    "bool_",
    "by_mlir",
    "by_name",
    "finfo",
    "float8_e4m3fn",
    "float8_e5m2",
    "float16",
    "float32",
    "float64",
    "iinfo",
    "int4",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_weak",
    "isdtype",
    "of",
    "promote",
    "scalar_fits",
    "uint4",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DType:
    """One element type. The rows of the table are its only instances.

    Attributes:
        name: NumPy's name, ``"float32"``.
        mlir: the MLIR type as written in stages ``traced`` and ``tensor``, ``"f32"``; unsigned is ``"ui8"``.
        kind: ``"bool"``, ``"int"``, ``"uint"`` or ``"float"``.
        bits: bits of information: 1 for bool, 4 for int4.
        itemsize: bytes of one element of an array: 1 for bool and for int4.
    """

    name: str
    mlir: str
    kind: str
    bits: int

    @property
    def itemsize(self) -> int:
        return max(1, self.bits // 8)

    @property
    def numpy(self) -> np.dtype:
        """The ``numpy.dtype`` of arrays of this type."""
        return _numpy_dtype(self.name)

    # np.dtype(x) and np.zeros(3, dtype=x) look for this attribute.
    @property
    def dtype(self) -> np.dtype:
        return self.numpy

    @property
    def is_bool(self) -> bool:
        return self.kind == "bool"

    @property
    def is_float(self) -> bool:
        return self.kind == "float"

    @property
    def is_integer(self) -> bool:
        """Whether it is an integer, signed or not (bool is not)."""
        return self.kind in ("int", "uint")

    @property
    def is_signed(self) -> bool:
        return self.kind in ("int", "float")

    @property
    def is_storage(self) -> bool:
        """Whether values are only stored and moved (4-bit integers), or cast and multiplied, too (8-bit floats)."""
        return self.bits == 4 or self.is_float8

    @property
    def is_float8(self) -> bool:
        return self.is_float and self.bits == 8

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DType):
            return self is other
        if isinstance(other, str):
            return self.name == other
        if isinstance(other, (np.dtype, type)):
            return _from_numpy(other) is self
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"tilewright.{self.name}"

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple:
        return by_name, (self.name,)


bool_ = DType("bool", "i1", "bool", 1)
int4 = DType("int4", "i4", "int", 4)
int8 = DType("int8", "i8", "int", 8)
int16 = DType("int16", "i16", "int", 16)
int32 = DType("int32", "i32", "int", 32)
int64 = DType("int64", "i64", "int", 64)
uint4 = DType("uint4", "ui4", "uint", 4)
uint8 = DType("uint8", "ui8", "uint", 8)
uint16 = DType("uint16", "ui16", "uint", 16)
uint32 = DType("uint32", "ui32", "uint", 32)
uint64 = DType("uint64", "ui64", "uint", 64)
float8_e4m3fn = DType("float8_e4m3fn", "f8E4M3FN", "float", 8)
float8_e5m2 = DType("float8_e5m2", "f8E5M2", "float", 8)
float16 = DType("float16", "f16", "float", 16)
bfloat16 = DType("bfloat16", "bf16", "float", 16)
float32 = DType("float32", "f32", "float", 32)
float64 = DType("float64", "f64", "float", 64)

ALL: tuple[DType, ...] = (
    bool_, int4, int8, int16, int32, int64, uint4, uint8, uint16, uint32, uint64,
    float8_e4m3fn, float8_e5m2, float16, bfloat16, float32, float64,
)  # fmt: skip

# What a Python number becomes when no array decides: the defaults of the frameworks models come from.
DEFAULT_FLOAT = float32
DEFAULT_INT = int64

_BY_NAME = {dtype.name: dtype for dtype in ALL}
_BY_MLIR = {dtype.mlir: dtype for dtype in ALL}
_ML_DTYPES = frozenset({"bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4"})


@functools.cache
def _numpy_dtype(name: str) -> np.dtype:
    if name in _ML_DTYPES:
        import ml_dtypes  # 10 ms that float32 programs do not pay

        return np.dtype(getattr(ml_dtypes, name))
    return np.dtype(name)


def _from_numpy(value: Any) -> DType | None:
    """Return the row of a NumPy dtype or scalar type, None when it is no row or no dtype."""
    try:
        dtype = np.dtype(value)
    except TypeError:
        return None
    return _BY_NAME.get(dtype.name) if dtype.isnative and dtype.fields is None else None


def _supported() -> str:
    return "supported dtypes: " + ", ".join(_BY_NAME) + "."


def by_name(name: str) -> DType:
    """Return the dtype with this NumPy name.

    Raises:
        DTypeError: when there is none.
    """
    found = _BY_NAME.get(name)
    if found is None:
        short = _BY_MLIR.get(name)
        hint = f"did you mean {short.name!r}?" if short else errors.did_you_mean(name, _BY_NAME)
        errors.fail(errors.DTypeError, f"dtype: unknown name {name!r}", help=hint or _supported())
    return found


def by_mlir(text: str) -> DType:
    """Return the dtype with this MLIR spelling (``"f32"``, ``"ui8"``, ``"i1"``).

    Raises:
        DTypeError: when there is none.
    """
    found = _BY_MLIR.get(text)
    if found is None:
        errors.fail(errors.DTypeError, f"dtype: no dtype is written {text!r} in MLIR", help=_supported())
    return found


def of(value: Any) -> DType:
    """Return the dtype that ``value`` is, names or has.

    Args:
        value: a :class:`DType`; a NumPy name; a NumPy, ml_dtypes or torch dtype; a scalar type; an array,
            traced value or NumPy scalar; or a Python number (``bool``, ``int`` → int64, ``float`` → float32).

    Raises:
        DTypeError: when it is none of these, or its dtype is not in the table.
    """
    if isinstance(value, DType):
        return value
    if isinstance(value, str):
        return by_name(value)
    if is_weak(value):
        return bool_ if isinstance(value, bool) else DEFAULT_INT if isinstance(value, int) else DEFAULT_FLOAT
    inner = value if isinstance(value, (np.dtype, type)) else getattr(value, "dtype", None)
    if isinstance(inner, DType):
        return inner
    if value is int or value is float:
        return DEFAULT_INT if value is int else DEFAULT_FLOAT
    if value is not None and inner is not value and type(value).__module__ == "torch" and inner is None:
        inner = str(value).removeprefix("torch.")
    elif inner is not None and type(inner).__module__ == "torch":
        inner = str(inner).removeprefix("torch.")
    found = (
        _BY_NAME.get(inner) if isinstance(inner, str) else _from_numpy(inner) if inner is not None else None
    )
    if found is None:
        shown = getattr(inner, "name", None) or (inner if inner is not None else type(value).__name__)
        errors.fail(
            errors.DTypeError,
            f"dtype: {shown} is not a supported dtype",
            help=_byte_order_help(inner) or _supported(),
        )
    return found


def _byte_order_help(value: Any) -> str | None:
    if isinstance(value, np.dtype) and not value.isnative:
        return "convert the array to native byte order: x.astype(x.dtype.newbyteorder('='))."
    return None


def isdtype(dtype: Any, kind: str | tuple) -> bool:
    """Say whether a dtype belongs to a kind, as in the array API.

    Args:
        dtype: anything :func:`of` understands.
        kind: ``"bool"``, ``"signed integer"``, ``"unsigned integer"``, ``"integral"``, ``"real floating"``,
            ``"complex floating"``, ``"numeric"``, a dtype, or a tuple of these.
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, each) for each in kind)
    row = of(dtype)
    kinds = {
        "bool": row.is_bool,
        "signed integer": row.kind == "int",
        "unsigned integer": row.kind == "uint",
        "integral": row.is_integer,
        "real floating": row.is_float,
        "complex floating": False,
        "numeric": not row.is_bool,
    }
    return kinds[kind] if isinstance(kind, str) and kind in kinds else row is of(kind)


# ---- promotion ----------------------------------------------------------------------------------------


def is_weak(value: Any) -> bool:
    """Say whether ``value`` is a Python number, which takes the dtype of the arrays around it."""
    return type(value) in (bool, int, float)


def scalar_fits(value: bool | float, dtype: DType) -> bool:
    """Say whether a Python number can stand beside an array of this dtype.

    bool goes with bool; int with integers that can hold it and with floats; float with floats.
    """
    if isinstance(value, bool):
        return dtype.is_bool
    if isinstance(value, int):
        if dtype.is_integer:
            info = iinfo(dtype)
            return info.min <= value <= info.max
        return dtype.is_float
    return dtype.is_float


def promote(*values: Any) -> DType:
    """Return the dtype of a mix, by the array API's table.

    Args:
        *values: dtypes, arrays or traced values; Python numbers are weak and take the dtype of the others.

    Returns:
        The common dtype. With Python numbers only: bool, int64 or float32.

    Raises:
        DTypeError: for mixes the standard leaves undefined (an integer with a float, bool with a number,
            uint64 with a signed integer, float16 with bfloat16, 4-bit integers or 8-bit floats with anything else),
            and for Python numbers that do not fit the arrays' dtype.

    Example:
        >>> promote("int8", "uint8")
        tilewright.int16
        >>> promote("bfloat16", 2.5)
        tilewright.bfloat16
    """
    strong = [of(value) for value in values if not is_weak(value)]
    weak = [value for value in values if is_weak(value)]
    if not strong:
        if not weak:
            errors.fail(errors.DTypeError, "promote: nothing to promote")
        return max((of(value) for value in weak), key=(bool_, DEFAULT_INT, DEFAULT_FLOAT).index)
    result = functools.reduce(_promote_pair, strong)
    for value in weak:
        if not scalar_fits(value, result):
            _fail_scalar(value, result)
    return result


def _promote_pair(a: DType, b: DType) -> DType:
    if a is b:
        return a
    if a.is_storage or b.is_storage:
        storage = a if a.is_storage else b
        _fail_mix(a, b, f"{storage} is a storage type: cast it before computing with it.")
    if a.kind == b.kind:
        if a.bits == b.bits:
            _fail_mix(a, b, "cast one of them; float32 holds both.")
        return a if a.bits > b.bits else b
    if a.is_integer and b.is_integer:
        signed, unsigned = (a, b) if a.kind == "int" else (b, a)
        if unsigned.bits == 64:
            _fail_mix(a, b, "no integer type holds both: cast one of them.")
        return by_name(f"int{max(signed.bits, 2 * unsigned.bits)}")
    if a.is_bool or b.is_bool:
        _fail_mix(a, b, "cast the bool first: x.astype(...) turns True into 1.")
    _fail_mix(a, b, "cast the integers to a float type first; the array API leaves this mix undefined.")


def _fail_mix(a: DType, b: DType, help: str) -> NoReturn:
    errors.fail(errors.DTypeError, f"promote: {a} and {b} do not mix", help=help)


def _fail_scalar(value: bool | float, dtype: DType) -> Any:
    kind = type(value).__name__
    if kind == "int" and dtype.is_integer:
        info = iinfo(dtype)
        errors.fail(
            errors.DTypeError,
            f"promote: {value} does not fit {dtype} [{info.min}, {info.max}]",
            help="cast the array to a wider integer type first.",
        )
    errors.fail(
        errors.DTypeError,
        f"promote: Python {kind} {value!r} does not mix with {dtype}",
        help=f"cast the array first, or write the number as {'a bool' if dtype.is_bool else 'an int'}.",
    )


def accumulator(dtype: Any) -> DType:
    """Return the dtype in which sums of products of this type are kept.

    Floats of 8 and 16 bits add up in float32, 8-bit integers in int32, every other type in itself.
    """
    row = of(dtype)
    if row.is_float and row.bits <= 16:
        return float32
    return int32 if row.is_integer and row.bits <= 8 else row


# ---- limits -------------------------------------------------------------------------------------------


class FloatInfo(NamedTuple):
    """Limits of a float type, as Python floats; fields as in ``numpy.finfo``."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    smallest_subnormal: float
    dtype: DType


class IntInfo(NamedTuple):
    """Limits of an integer type; fields as in ``numpy.iinfo``."""

    bits: int
    min: int
    max: int
    dtype: DType


# (exponent bits, mantissa bits without the hidden one)
_FLOAT_LAYOUT = {
    "float8_e4m3fn": (4, 3), "float8_e5m2": (5, 2), "float16": (5, 10), "bfloat16": (8, 7),
    "float32": (8, 23), "float64": (11, 52),
}  # fmt: skip


def finfo(dtype: Any) -> FloatInfo:
    """Return the limits of a float type.

    Raises:
        DTypeError: when it is not a float type.
    """
    row = of(dtype)
    if not row.is_float:
        errors.fail(errors.DTypeError, f"finfo: {row} is not a float type", help="iinfo takes integers.")
    exponent, mantissa = _FLOAT_LAYOUT[row.name]
    bias = 2 ** (exponent - 1) - 1
    largest = (2.0 - 2.0**-mantissa) * 2.0**bias
    if row is float8_e4m3fn:  # no infinities: their exponent has numbers, too, but for the last code, NaN
        largest = 1.75 * 2.0 ** (bias + 1)
    normal = 2.0 ** (1 - bias)
    return FloatInfo(row.bits, 2.0**-mantissa, largest, -largest, normal, normal * 2.0**-mantissa, row)


def iinfo(dtype: Any) -> IntInfo:
    """Return the limits of an integer type.

    Raises:
        DTypeError: when it is not an integer type.
    """
    row = of(dtype)
    if not row.is_integer:
        errors.fail(errors.DTypeError, f"iinfo: {row} is not an integer type", help="finfo takes floats.")
    if row.kind == "uint":
        return IntInfo(row.bits, 0, 2**row.bits - 1, row)
    return IntInfo(row.bits, -(2 ** (row.bits - 1)), 2 ** (row.bits - 1) - 1, row)
