"""Descriptions of arguments: dtype and shape without data (`Spec`), and named sizes (`Dim`).

These classes hold no IR and import no compiler, so that signatures can be written, stored and compared cheaply.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from . import dtypes, errors

__all__ = ["Dim", "Spec", "spec"]


@dataclass(frozen=True)
class Dim:
    """Name a size that is only known when the program is called.

    Two dims of a signature with the same name are the same size: the call checks it, and the compiler uses it.

    Args:
        name: a Python identifier, unique in the program.
        min: the smallest size that a call may have (>= 0).
        max: the largest one, or None for no bound.
        multiple_of: every size is a multiple of this.

    Raises:
        ArgumentError: a bound makes no sense.

    Example:
        >>> import tilewright as tw
        >>> tw.Dim("batch", max=64)
        Dim('batch', max=64)
    """

    name: str
    min: int = 1
    max: int | None = None
    multiple_of: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier():
            errors.fail(errors.ArgumentError, f"Dim: the name must be a Python identifier, not {self.name!r}")
        if self.min < 0 or self.multiple_of < 1 or (self.max is not None and self.max < self.min):
            errors.fail(
                errors.ArgumentError,
                f"Dim({self.name!r}): need 0 <= min <= max and multiple_of >= 1,"
                f" got min={self.min}, max={self.max}, multiple_of={self.multiple_of}",
            )

    def __repr__(self) -> str:
        parts = [repr(self.name)]
        if self.min != 1:
            parts.append(f"min={self.min}")
        if self.max is not None:
            parts.append(f"max={self.max}")
        if self.multiple_of != 1:
            parts.append(f"multiple_of={self.multiple_of}")
        return f"Dim({', '.join(parts)})"

    def admits(self, size: int) -> bool:
        """Tell whether a concrete size satisfies the bounds."""
        return size >= self.min and (self.max is None or size <= self.max) and size % self.multiple_of == 0


DimLike = int | Dim | str | None


@dataclass(frozen=True)
class Spec:
    """A tensor argument without data: see `spec`."""

    shape: tuple[int | Dim | None, ...]
    dtype: Any
    weak: bool = False

    def __repr__(self) -> str:
        def show(dim: Any) -> str:
            return dim.name if isinstance(dim, Dim) else "?" if dim is None else str(dim)

        return f"{self.dtype.name}[{', '.join(map(show, self.shape))}]"

    @property
    def ndim(self) -> int:
        """Rank of the tensor."""
        return len(self.shape)

    def with_shape(self, shape: Iterable[DimLike]) -> Spec:
        """Return the same spec with another shape."""
        return replace(self, shape=_shape(tuple(shape)))


@errors.trim_traceback
def spec(shape: Iterable[DimLike] | int, dtype: Any = "float32") -> Spec:
    """Describe a tensor argument by shape and dtype, for `fn.trace(...)` and `fn.compile(...)`.

    Args:
        shape: sizes; each one an int, a `Dim`, a str (short for `Dim(name)`), or None for a size of its own that is
            only known at the call.
        dtype: a dtype name, NumPy dtype or ml_dtypes object.

    Returns:
        The description, hashable.

    Raises:
        ShapeError: a size is negative.
        ArgumentError: a size is of another type.
        DTypeError: the dtype is not supported.

    Example:
        >>> import tilewright as tw
        >>> tw.spec((None, 64), "float32")
        float32[?, 64]
    """
    if isinstance(shape, int):
        shape = (shape,)
    return Spec(_shape(tuple(shape)), dtypes.of(dtype))


def _shape(shape: tuple[Any, ...]) -> tuple[int | Dim | None, ...]:
    result: list[int | Dim | None] = []
    for entry in shape:
        if entry is None or isinstance(entry, Dim):
            result.append(entry)
        elif isinstance(entry, str):
            result.append(Dim(entry))
        else:
            try:
                size = entry.__index__()
            except (AttributeError, TypeError):
                errors.fail(
                    errors.ArgumentError, f"spec: a size must be an int, a Dim, a str or None, not {entry!r}"
                )
            if size < 0:
                errors.fail(errors.ShapeError, f"spec: a size must not be negative, got {size} in {shape}")
            result.append(size)
    return tuple(result)
