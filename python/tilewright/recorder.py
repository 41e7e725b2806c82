"""Building the module while a function runs: blocks, captures, constants and sizes.

A `Recorder` owns one module at stage `traced`. A `Scope` is one block of it that is being filled: `@main`, or a
region of a control-flow op. Values of an outer scope that a region uses are captured: they become block arguments
of the region and further operands of the op, because regions of `tw` ops see nothing but their arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

import numpy as np

from . import dtypes, errors, values
from .dtypes import DType
from .mlir import mlir
from .precision import HIGHEST
from .specs import Dim
from .symbols import Atom, Size, SymDim
from .values import Tracer

__all__ = ["MAX_EMBEDDED_BYTES", "Recorder", "Scope"]

# Larger arrays are parameters: their bytes stay out of the IR, of the cache key and of the object.
MAX_EMBEDDED_BYTES = 1024


class Scope:
    """A block that is being filled."""

    __slots__ = (
        "block",
        "captured",
        "constants",
        "holder",
        "indices",
        "ip",
        "open",
        "parent",
        "recorder",
        "sources",
    )

    def __init__(self, recorder: Recorder, block: Any, parent: Scope | None, holder: Any = None):
        self.recorder, self.block, self.parent, self.holder = recorder, block, parent, holder
        self.ip: Any = recorder.m.ir.InsertionPoint(block)
        self.open = True
        self.captured: dict[int, tuple[Tracer, Any]] = {}
        self.constants: dict[Any, Tracer] = {}
        self.indices: dict[Any, Any] = {}
        self.sources: dict[Any, tuple[Any, int]] = {}

    def argument(self, shape: tuple[Size, ...], dtype: DType, weak: bool = False) -> Tracer:
        """Append a block argument."""
        value = self.block.add_argument(self.recorder.m.tensor(shape, dtype), self.recorder.place)
        return self.adopt(value, shape, dtype, weak)

    def adopt(self, value: Any, shape: tuple[Size, ...], dtype: DType, weak: bool = False) -> Tracer:
        """Wrap a block argument, and remember it as a place where its sizes can be read."""
        for axis, size in enumerate(shape):
            if isinstance(size, SymDim):
                self.sources.setdefault(size.key, (value, axis))
        return Tracer(value, self, shape, dtype, weak)

    def use(self, tracer: Tracer) -> Any:
        """The IR value of a tracer inside this scope, captured where it comes from outside."""
        if tracer._scope is self:
            return tracer._value
        found = self.captured.get(id(tracer))
        if found is not None:
            return found[1]
        if self.parent is None or not tracer._scope.open:
            values.leaked(tracer, self.recorder)
        self.parent.use(tracer)
        inner = self.adopt(
            self.block.add_argument(
                self.recorder.m.tensor(tracer.shape, tracer.dtype), self.recorder.m.unknown
            ),
            tracer.shape,
            tracer.dtype,
        )
        self.captured[id(tracer)] = (tracer, inner._value)
        return inner._value

    def index(self, size: Size) -> Any:
        """An `index` value for a size."""
        key = size if isinstance(size, int) else size.key
        found = self.indices.get(key)
        if found is None:
            found = self.indices[key] = self._index(size)
        return found

    def _index(self, size: Size) -> Any:
        m = self.recorder.m
        if isinstance(size, int):
            attribute = m.ir.IntegerAttr.get(m.index, size)
            return self.make("arith.constant", (), [m.index], {"value": attribute})
        source = self.sources.get(size.key)
        if source is not None:
            return self.make("tw.dim", [source[0]], [m.index], {"axis": m.attribute(source[1])})
        if self.parent is not None:
            # A region reads an outer size through a 0-d tensor: only tensors cross the border of a region.
            outer = self.parent.scalar(size)
            return self.make("tw.to_index", [self.use(outer)], [m.index])
        total = None
        for mono, c in size.terms.items():
            term = self._monomial(mono, c)
            total = term if total is None else self.make("arith.addi", [total, term], [m.index])
        return total

    def scalar(self, size: Size) -> Tracer:
        """A size as a traced 0-d int64 that behaves like a Python int in promotion."""
        key = ("scalar", size if isinstance(size, int) else size.key)
        found = self.constants.get(key)
        if found is None:
            m = self.recorder.m
            if self.parent is not None and isinstance(size, SymDim) and size.key not in self.sources:
                value = self.use(self.parent.scalar(size))
                found = self.constants[key] = Tracer(value, self, (), dtypes.int64, True)
                return found
            value = self.make("tw.from_index", [self.index(size)], [m.tensor((), dtypes.int64)])
            found = self.constants[key] = Tracer(value, self, (), dtypes.int64, True)
        return found

    def _monomial(self, mono: tuple[Atom, ...], c: int) -> Any:
        m = self.recorder.m
        value = None
        for atom in mono:
            part = self._atom(atom)
            whole = atom.dim.multiple_of if atom.dim is not None else 1
            if whole > 1 and c % whole == 0:
                c //= whole
            elif whole > 1:
                part = self.make("arith.floordivsi", [part, self.index(whole)], [m.index])
            value = part if value is None else self.make("arith.muli", [value, part], [m.index])
        if value is None:
            return self.index(c)
        return value if c == 1 else self.make("arith.muli", [value, self.index(c)], [m.index])

    def _atom(self, atom: Atom) -> Any:
        m = self.recorder.m
        found = self.indices.get(atom)
        if found is None:
            if atom.dim is not None:
                # The size itself is a dim of some argument of this block; its part is computed from that.
                found = self.index(SymDim({(atom,): atom.dim.multiple_of}))
            else:
                a, b = (self.index(arg) for arg in atom.args)
                name = "arith.floordivsi" if atom.kind == "floordiv" else "arith.remsi"
                found = self.make(name, [a, b], [m.index])
            self.indices[atom] = found
        return found

    def make(self, name: str, operands: Any, types: Any, attributes: Any = None) -> Any:
        """Create an op with one result at the end of this block."""
        m = self.recorder.m
        return m.create(
            name, results=types, operands=operands, attributes=attributes, loc=m.location(2), ip=self.ip
        ).result


class Recorder:
    """One module under construction."""

    def __init__(self, name: str = "main", code: CodeType | None = None):
        self.m = m = mlir()
        ir = m.ir
        self.name = name
        self.module: Any = ir.Module.create(m.unknown)
        self.module.operation.attributes["tw.stage"] = m.attribute("traced")
        # The function's own place, not the caller's: tracing twice gives the same bytes.
        self.place: Any = m.unknown if code is None else m.definition(code)
        self.main: Any = self.holder(ir.InsertionPoint(self.module.body), self.place)
        self.scope = self.root = Scope(self, self.main.regions[0].blocks.append(), None)
        self.dims: dict[str, tuple[Dim, Size]] = {}
        self.captured_arrays: dict[int, tuple[Any, np.ndarray, Tracer]] = {}
        self.alive = True
        # What products of float32 that name no precision ask for.
        self.precision = HIGHEST

    @contextmanager
    def asking(self, precision: str | None) -> Iterator[None]:
        """Let products of float32 ask for this precision, unless they name one; None changes nothing."""
        before = self.precision
        self.precision = precision or before
        try:
            yield
        finally:
            self.precision = before

    def holder(self, ip: Any = False, loc: Any = None) -> Any:
        """A function op whose region takes blocks; detached unless an insertion point is given."""
        m = self.m
        empty = m.ir.TypeAttr.get(m.ir.FunctionType.get([], [], context=m.context), m.context)
        attributes = {"sym_name": m.attribute("main"), "function_type": empty}
        return m.create("func.func", attributes=attributes, regions=1, loc=loc or m.unknown, ip=ip)

    def push(self) -> Scope:
        """Start to fill a region's block; it lies in a holder until `pop` hands it over."""
        holder = self.holder()
        self.scope = Scope(self, holder.regions[0].blocks.append(), self.scope, holder)
        return self.scope

    def pop(self, scope: Scope) -> None:
        """Return to the scope around; values of the inner one are dead from here on."""
        scope.open = False
        assert scope.parent is not None
        self.scope = scope.parent

    def emit(
        self,
        name: str,
        operands: Any,
        shape: tuple[Size, ...],
        dtype: DType,
        attributes: dict[str, Any] | None = None,
        sizes: Any = (),
        weak: bool = False,
    ) -> Tracer:
        """Append `tw.<name>` with one tensor result.

        Args:
            operands: traced values.
            sizes: further `index` operands, given as sizes (ints and `SymDim`) or `index` values.
            attributes: Python values, see `Mlir.attribute`.
        """
        m, scope = self.m, self.scope
        inputs = [x._value if x._scope is scope else scope.use(x) for x in operands]
        for size in sizes:
            inputs.append(scope.index(size) if isinstance(size, (int, SymDim)) else size)
        attrs = None
        if attributes:
            convert = m.attribute
            attrs = {key: convert(value) for key, value in attributes.items()}
        op = m.create(
            "tw." + name,
            results=[m.tensor(shape, dtype)],
            operands=inputs,
            attributes=attrs,
            loc=m.location(2),
            ip=scope.ip,
        )
        return Tracer(op.result, scope, shape, dtype, weak)

    def emit_many(
        self,
        name: str,
        operands: Any,
        results: Any,
        attributes: dict[str, Any] | None = None,
        regions: Any = (),
    ) -> list[Tracer]:
        """Append an op with any number of results, and with regions taken from finished scopes."""
        m, scope = self.m, self.scope
        inputs = [scope.use(x) if isinstance(x, Tracer) else x for x in operands]
        attrs = {key: m.attribute(value) for key, value in (attributes or {}).items()}
        types = [m.tensor(shape, dtype) for shape, dtype in results]
        op = m.create(
            "tw." + name,
            results=types,
            operands=inputs,
            attributes=attrs,
            regions=len(regions),
            loc=m.location(2),
            ip=scope.ip,
        )
        for region, inner in zip(op.regions, regions, strict=True):
            inner.block.append_to(region)
        return [
            Tracer(value, scope, shape, dtype)
            for value, (shape, dtype) in zip(op.results, results, strict=True)
        ]

    def terminate(self, scope: Scope, outputs: Any) -> None:
        """End a region's block with `tw.yield`."""
        operands = [scope.use(x) for x in outputs]
        self.m.create("tw.yield", results=[], operands=operands, loc=self.m.location(2), ip=scope.ip)

    def constant(self, data: Any, dtype: DType | None = None, weak: bool = False) -> Tracer:
        """An array or a number as a value: embedded when small, an implicit weight when not."""
        if dtype is None:
            dtype = dtypes.of(data)
        if type(data) in (bool, int, float):
            key = (type(data), data.hex() if type(data) is float else data, dtype)
            found = self.scope.constants.get(key)
            if found is None:
                array = _number(data, dtype)
                found = self.scope.constants[key] = self._embed(array, dtype, weak)
            return found
        array = np.asarray(data)
        if array.nbytes < MAX_EMBEDDED_BYTES:
            return self._embed(array.astype(dtype.numpy, copy=False), dtype, weak)
        return self._capture(data, array, dtype)

    def _embed(self, array: np.ndarray, dtype: DType, weak: bool) -> Tracer:
        m = self.m
        value = self.scope.make(
            "arith.constant", (), [m.tensor(array.shape, dtype)], {"value": m.dense(array, dtype)}
        )
        return Tracer(value, self.scope, array.shape, dtype, weak)

    def _capture(self, data: Any, array: np.ndarray, dtype: DType) -> Tracer:
        known = self.captured_arrays.get(id(data))
        if known is None:
            tracer = self.root.argument(array.shape, dtype)
            # The array itself is kept too: an id is only unique while its object lives.
            known = self.captured_arrays[id(data)] = (data, array, tracer)
        return known[2]


def _number(value: Any, dtype: DType) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):
            return np.asarray(value).astype(dtype.numpy)
    except OverflowError:
        errors.fail(errors.DTypeError, f"the number {value} does not fit {dtype}")
