"""Quantised tensors: planes of stored integers and scales, and the format that makes numbers of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import dtypes, errors, formats, pytree
from ..symbols import product, show_shape
from ..values import Tracer
from .core import as_tracer, emit, floating, need, op, recorder, reshaped, shape_error


class QuantizedTensor:
    """A matrix that is stored as integers and scales, and read as floats.

    It is a node of trees: its planes are leaves (arrays, specs or traced values). In a program it stands for its
    numbers: `x @ w.T`, `tw.linear(x, w)` and `tw.nn.embedding(ids, w)` dequantise inside the kernel that reads it.

    Args:
        planes: the planes by name, as `tilewright.formats` makes them: "storage", "scales" and, where the format
            has it, "mins" or "zeros".
        format: name of the format: q4_0, q4_1, q5_0, q5_1, q8_0, q4_k, q5_k, q6_k, int8, int4.
        shape: the shape [..., N, K] of the numbers; None computes it from the storage.
        dtype: what it computes as where nothing else decides.

    Raises:
        FormatError, ArgumentError: the format or the planes do not fit.

    Example:
        >>> from tilewright import formats
        >>> planes = formats.quantize("q8_0", np.ones((4, 64), "f"))
        >>> w = tw.QuantizedTensor(planes, format="q8_0")
        >>> y = tw.linear(np.ones((2, 64), "f"), w)
    """

    __array_ufunc__ = None

    def __init__(
        self,
        planes: Mapping[str, Any],
        *,
        format: str,
        shape: Any = None,
        dtype: Any = "float32",
        transposed: bool = False,
    ):
        row = formats.by_name(format)
        known = ["storage", "scales"] + ([row.third] if row.third else [])
        unknown = [name for name in planes if name not in known]
        if unknown or "storage" not in planes or "scales" not in planes:
            errors.fail(
                errors.ArgumentError,
                f"QuantizedTensor: planes {sorted(planes)} do not fit format {row.name}",
                help=f"expected {', '.join(known)}.",
            )
        self.planes = {name: planes[name] for name in known if name in planes}
        self.format = row.name
        self.dtype = dtypes.of(dtype)
        self.transposed = transposed
        self._stored = tuple(shape) if shape is not None else _shape_of(row, tuple(planes["storage"].shape))

    @property
    def shape(self) -> tuple[Any, ...]:
        """Shape of the numbers."""
        return (*self._stored[:-2], self._stored[-1], self._stored[-2]) if self.transposed else self._stored

    @property
    def ndim(self) -> int:
        """Rank of the numbers."""
        return len(self._stored)

    @property
    def T(self) -> QuantizedTensor:
        """The transpose of a matrix; nothing moves."""
        if self.ndim != 2:
            shape_error(f"QuantizedTensor.T: expected a matrix, got {show_shape(self.shape)}")
        return QuantizedTensor(
            self.planes,
            format=self.format,
            shape=self._stored,
            dtype=self.dtype,
            transposed=not self.transposed,
        )

    def __repr__(self) -> str:
        return f"<{self.format}{show_shape(self.shape)}>"

    def dequantize(self, dtype: Any = None) -> Tracer:
        """Return the numbers as a traced value of a float dtype."""
        return dequantize(self, dtype=dtype)

    def __tw_value__(self) -> Tracer:
        return dequantize(self)

    def __matmul__(self, other: Any) -> Tracer:
        from .contract import matmul

        return matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tracer:
        from .contract import matmul

        return matmul(other, self)


def _shape_of(row: formats.Format, storage: tuple[Any, ...]) -> tuple[Any, ...]:
    if row.cell:
        return (*storage[:-2], storage[-2] * row.cell[0])
    return storage if row.bits == 8 else (*storage[:-1], storage[-1] * 2)


def _take_apart(x: QuantizedTensor) -> tuple[list[Any], Any]:
    return list(x.planes.values()), (tuple(x.planes), x.format, x._stored, x.dtype, x.transposed)


def _put_together(meta: Any, children: list[Any]) -> QuantizedTensor:
    names, format, shape, dtype, transposed = meta
    # Leaves may be anything while a tree is mapped, so nothing is checked here.
    new = object.__new__(QuantizedTensor)
    new.planes, new.format, new._stored = dict(zip(names, children, strict=True)), format, shape
    new.dtype, new.transposed = dtype, transposed
    return new


pytree.register(QuantizedTensor, _take_apart, _put_together, lambda x: tuple(x.planes))


def _format_attribute(name: str, group: int) -> Any:
    m = recorder().m
    key = ("format", name, group)
    found = m._attributes.get(key)
    if found is None:
        text = f'#tw.format<name = "{name}", group = {group}>'
        found = m._attributes[key] = m.ir.Attribute.parse(text, m.context)
    return found


@op
def dequantize(x: QuantizedTensor, *, dtype: Any = None) -> Tracer:
    """Turn a quantised tensor into numbers.

    Args:
        x: [..., N, K] quantised.
        dtype: a float dtype; None for the tensor's own.

    Returns:
        [..., N, K] float.

    Raises:
        DTypeError: x is not quantised, or the dtype is no float.
        ShapeError: the planes do not fit each other.

    Example:
        >>> from tilewright import formats
        >>> w = tw.QuantizedTensor(formats.quantize("q8_0", np.ones((4, 64), "f")), format="q8_0")
        >>> y = tw.dequantize(w)
    """
    if not isinstance(x, QuantizedTensor):
        errors.fail(errors.DTypeError, f"dequantize: expected a QuantizedTensor, got {type(x).__name__}")
    target = dtypes.of(x.dtype if dtype is None else dtype)
    if not target.is_float:
        errors.fail(errors.DTypeError, f"dequantize: expected a float dtype, got {target}")
    return _numbers(x, target)


def _numbers(x: QuantizedTensor, target: dtypes.DType, together: int = 0) -> Tracer:
    """Emit the numbers of `x`; so many neighbours are computed `together` where all numbers of a row share a scale."""
    shape = x._stored
    planes = [as_tracer("dequantize", plane) for plane in x.planes.values()]
    row, rank = formats.by_name(x.format), len(shape) - 1
    group = row.group if row.is_block else together
    scales = planes[1]
    if not row.is_block and scales.ndim == rank + 1:
        group = shape[-1] // scales.shape[-1]
    rows = product(shape[:-1])
    if rank != 1:
        # The op knows matrices: all axes but the last are rows.
        planes = [reshaped(p, (rows, *p.shape[rank:])) if p.ndim else p for p in planes]
    attributes = {"format": _format_attribute(x.format, group)}
    value = emit("dequantize", planes, (rows, shape[-1]), target, attributes)
    value = reshaped(value, shape)
    if not x.transposed:
        return value
    from .shape import matrix_transpose

    return matrix_transpose(value)


#: What a program can quantise to.
_ROUNDED = ("q4_0", "q4_1", "q8_0", "int8", "int4")


@op
def quantize(x: Any, format: str = "int8", *, group: str | int = "channel") -> QuantizedTensor:
    """Quantise a tensor inside a program, symmetrically where the format leaves a choice.

    Weights are better quantised ahead of time, with `tilewright.formats.quantize`, which knows all formats.

    Args:
        x: [..., N, K] float, K static and a multiple of the format's block.
        format: "int8", "int4", "q8_0", "q4_0" or "q4_1".
        group: for int8 and int4: "tensor", "channel" (a scale per row), or the number of weights per scale.

    Returns:
        The quantised tensor; its planes are traced values.

    Raises:
        UnsupportedOpError: another format.
        ShapeError: K does not fit.
        ArgumentError: `group` is none of these, or the format's groups are fixed.

    Example:
        >>> y = tw.dequantize(tw.quantize(np.ones((2, 64), "f"), "q8_0"))
    """
    value = need("quantize", floating("quantize", x), "float")
    if format not in _ROUNDED:
        errors.fail(
            errors.UnsupportedOpError,
            f"quantize: format {format!r} is not computed inside programs",
            help="tilewright.formats.quantize makes it ahead of time.",
        )
    if value.ndim < 1 or not isinstance(value.shape[-1], int):
        shape_error(f"quantize: the last axis of {show_shape(value.shape)} must be static")
    row, rows, columns = formats.by_name(format), product(value.shape[:-1]), value.shape[-1]
    matrix = reshaped(value, (rows, columns))
    # The table knows numbers only; the symbolic rows of its shapes are put back.
    specs = formats.plane_specs(row, (1, columns), group=group)
    names = [name for name in specs if row.is_block or name != "zeros"]
    results = [((rows, *shape[1:]) if shape else (), dtype) for shape, dtype in (specs[n] for n in names)]
    width = row.group if row.is_block else group if isinstance(group, int) else 0
    outputs = recorder().emit_many(
        "quantize", (matrix,), results, {"format": _format_attribute(format, width)}
    )
    planes = [reshaped(p, (*value.shape[:-1], *p.shape[1:])) if p.shape else p for p in outputs]
    return QuantizedTensor(dict(zip(names, planes, strict=True)), format=format, shape=value.shape)


#: Activations that share a scale: the groups of most formats of weights.
_ACTIVATION_GROUP = 32


def round_activations(name: str, x: Any, weight: Any, activations: str) -> tuple[Tracer, Tracer]:
    """Return `x` [..., K] rounded for a product with quantised weights, and their numbers.

    "int8" has a scale for each group of 32 neighbours, or for each row if 32 does not divide K. Weights that share a
    scale along a whole row are taken in such groups, too: products inside a group are products of integers.
    """
    if activations != "int8":
        errors.fail(
            errors.ArgumentError,
            f"{name}: activations are {activations!r}",
            help='expected "float32" or "int8".',
        )
    if not isinstance(weight, QuantizedTensor):
        errors.fail(
            errors.ArgumentError,
            f'{name}: activations="int8" needs a QuantizedTensor as weight, got {type(weight).__name__}',
            help="tilewright.formats.quantize makes the planes of one.",
        )
    value = need(name, floating(name, x), "float")
    divides = value.ndim and isinstance(value.shape[-1], int) and value.shape[-1] % _ACTIVATION_GROUP == 0
    rounded = quantize(value, "int8", group=_ACTIVATION_GROUP if divides else "channel")
    together = _ACTIVATION_GROUP if divides and weight.format == "int8" else 0
    return dequantize(rounded, dtype=value.dtype), _numbers(weight, dtypes.of(weight.dtype), together)


def gather_rows(x: QuantizedTensor, indices: Tracer, mode: str) -> Tracer:
    """Pick rows of a quantised matrix and dequantise only them."""
    from .gathering import take

    if x.transposed or x.ndim != 2:
        shape_error(f"embedding: expected a quantised matrix [V, E], got {show_shape(x.shape)}")
    flat = reshaped(indices, (product(indices.shape),))
    planes = {
        name: take(plane, flat, axis=0, mode=mode) if len(plane.shape) else plane
        for name, plane in x.planes.items()
    }
    rows = QuantizedTensor(planes, format=x.format, shape=(flat.shape[0], x.shape[1]), dtype=x.dtype)
    return reshaped(dequantize(rows), (*indices.shape, x.shape[1]))
