"""The compiler library as the tracer sees it: one context, and caches of what is built again and again.

Nothing is imported before the first trace, so that `import tilewright` and a warm start map no compiler.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

import numpy as np

from . import errors
from .dtypes import DType

__all__ = ["Mlir", "mlir"]


class Mlir:
    """One MLIR context with memoised types, attributes and locations."""

    def __init__(self) -> None:
        from ._mlir import ir

        self.ir: Any = ir
        self.context: Any = ir.Context()
        self.unknown: Any = ir.Location.unknown(self.context)
        self.create: Callable[..., Any] = ir.Operation.create
        self.dynamic: int = ir.ShapedType.get_dynamic_size()
        self.index: Any = ir.IndexType.get(self.context)
        self.i64: Any = ir.IntegerType.get_signless(64, self.context)
        self.f64: Any = ir.F64Type.get(self.context)
        self._types: dict[Any, Any] = {}
        self._attributes: dict[Any, Any] = {}
        # Keyed by the identity of code objects, since hashing one reads all of it; `_codes` keeps them alive.
        self._locations: dict[tuple[int, int], Any] = {}
        self._codes: dict[int, tuple[CodeType, bool]] = {}
        # With the dialects loaded here, building an op needs no lookup by name.
        for name in ("func", "arith", "tw"):
            self.context.dialects[name]

    def element(self, dtype: DType) -> Any:
        """The MLIR element type of a dtype."""
        found = self._types.get(dtype)
        if found is None:
            found = self._types[dtype] = self.ir.Type.parse(dtype.mlir, self.context)
        return found

    def tensor(self, shape: tuple[Any, ...], dtype: DType) -> Any:
        """The ranked tensor type; sizes that are not ints become `?`."""
        key = (dtype, *[d if type(d) is int else None for d in shape])
        found = self._types.get(key)
        if found is None:
            sizes = [self.dynamic if d is None else d for d in key[1:]]
            found = self._types[key] = self.ir.RankedTensorType.get(
                sizes, self.element(dtype), loc=self.unknown
            )
        return found

    def attribute(self, value: Any) -> Any:
        """Turn a Python value into an attribute.

        bool → BoolAttr, int → i64, float → f64, str → StringAttr, tuple of ints → DenseI64Array, None → unit;
        attributes pass.
        """
        kind = type(value)
        key = (kind, value.hex() if kind is float else value) if kind in _SIMPLE else None
        found = self._attributes.get(key) if key is not None else None
        if found is not None:
            return found
        ir, context = self.ir, self.context
        if kind is bool:
            found = ir.BoolAttr.get(value, context)
        elif kind is int:
            found = ir.IntegerAttr.get(self.i64, value)
        elif kind is float:
            found = ir.FloatAttr.get(self.f64, value, loc=self.unknown)
        elif kind is str:
            found = ir.StringAttr.get(value, context)
        elif kind is tuple:
            found = ir.DenseI64ArrayAttr.get(list(value), context)
        elif value is None:
            found = ir.UnitAttr.get(context)
        else:
            return value
        self._attributes[key] = found
        return found

    def segments(self, sizes: tuple[int, ...]) -> Any:
        """The attribute `operandSegmentSizes`."""
        return self.ir.DenseI32ArrayAttr.get(list(sizes), self.context)

    def dense(self, array: np.ndarray, dtype: DType) -> Any:
        """A dense constant with the array's contents."""
        kind = self.tensor(array.shape, dtype)
        data = np.ascontiguousarray(array)
        if dtype.is_bool:
            # i1 is bit-packed in attributes; a single byte per splat or per eight elements.
            elements = [self.ir.BoolAttr.get(bool(x), self.context) for x in data.reshape(-1)]
            return self.ir.DenseElementsAttr.get(elements, kind, self.context)
        if dtype.is_storage or dtype.name == "bfloat16":
            element = self.element(dtype)
            if dtype.is_float:
                get = self.ir.FloatAttr.get
                elements = [get(element, float(x), loc=self.unknown) for x in data.reshape(-1)]
            else:
                elements = [self.ir.IntegerAttr.get(element, int(x)) for x in data.reshape(-1)]
            return self.ir.DenseElementsAttr.get(elements, kind, self.context)
        return self.ir.DenseElementsAttr.get(
            data,
            signless=dtype.kind != "uint",
            type=self.element(dtype),
            shape=list(array.shape),
            context=self.context,
        )

    def location(self, depth: int = 1) -> Any:
        """The location of the innermost user frame: file, line, column and function name."""
        frame = sys._getframe(depth)
        codes = self._codes
        while frame is not None:
            code = frame.f_code
            known = codes.get(id(code))
            if known is None:
                known = codes[id(code)] = (code, errors.is_user_file(code.co_filename))
            if known[1]:
                key = (id(code), frame.f_lasti)
                found = self._locations.get(key)
                if found is None:
                    found = self._locations[key] = self._locate(code, frame.f_lasti)
                return found
            frame = frame.f_back
        return self.unknown

    def definition(self, code: CodeType) -> Any:
        """The location of a function's own line."""
        place = self.ir.Location.file(code.co_filename, code.co_firstlineno, 1, context=self.context)
        return self.ir.Location.name(code.co_name, childLoc=place, context=self.context)

    def _locate(self, code: CodeType, lasti: int) -> Any:
        position = next(itertools.islice(code.co_positions(), max(lasti, 0) // 2, None), (None,) * 4)
        line, column = position[0] or code.co_firstlineno, position[2]
        place = self.ir.Location.file(
            code.co_filename, line, 0 if column is None else column + 1, context=self.context
        )
        return self.ir.Location.name(code.co_name, childLoc=place, context=self.context)


_SIMPLE = (bool, int, float, str, tuple, type(None))


_loaded: Mlir | None = None


def _forget() -> None:
    global _loaded
    if _loaded is not None:
        # Destroying the context would join threads that the child does not have: it is never destroyed.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(_loaded.context))
    _loaded = None


# The threads of a context do not survive a fork: the child makes its own.
os.register_at_fork(after_in_child=_forget)


def mlir() -> Mlir:
    """Return the compiler library, loading it on first use.

    Raises:
        InternalError: the package was installed without its compiled parts.
    """
    global _loaded
    if _loaded is not None:
        return _loaded
    try:
        _loaded = Mlir()
        return _loaded
    except ImportError as exc:
        errors.fail(
            errors.InternalError,
            f"the compiled part of tilewright cannot be loaded: {exc}",
            help="install a wheel, or build with `make dev-build`.",
            cause=exc,
        )
