"""From a Python call to a module at stage `traced`.

The function runs once on traced values; each op it calls lands in `@main`. What comes out is a `Program`: the module,
what its arguments are called and look like, the trees around them, and the arrays that the function captured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

import numpy as np

from . import dtypes, errors, pytree, values
from .dtypes import DType
from .recorder import Recorder
from .specs import Dim, Spec
from .symbols import Size, SymDim, show_shape, symbol
from .values import Tracer

__all__ = ["Argument", "Output", "Program", "add_input", "describe", "finish", "trace"]


@dataclass(frozen=True)
class Argument:
    """One tensor argument of a program.

    Attributes:
        name: as in messages: the parameter, with the path inside its tree (`params.layers.0.wq`).
        spec: shape (sizes and `Dim`s) and dtype.
        weight: whether it is bound once instead of being passed at each call.
        donate: whether an output may reuse its memory.
    """

    name: str
    spec: Spec
    weight: bool = False
    donate: bool = False


@dataclass(frozen=True)
class Output:
    """Shape and dtype of a result; sizes may be expressions over the symbols of the arguments."""

    shape: tuple[Size, ...]
    dtype: DType

    def __str__(self) -> str:
        return f"{self.dtype}{show_shape(self.shape)}"


@dataclass
class Program:
    """A traced program.

    Attributes:
        name: of the function.
        module: the `ir.Module`.
        arguments: in order, those that were captured last.
        outputs: in order.
        in_tree: structure of (args, kwargs) without static arguments.
        out_tree: structure of the result.
        constants: captured arrays by weight name.
    """

    name: str
    module: Any
    arguments: list[Argument]
    outputs: list[Output]
    in_tree: pytree.TreeDef
    out_tree: pytree.TreeDef
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def as_text(self, locations: bool = False) -> str:
        """Render the module, without the lines of the user's code unless asked for."""
        return self.module.operation.get_asm(enable_debug_info=locations)


def describe(leaf: Any, name: str) -> Spec:
    """Return the spec of an argument: of a spec itself, an array or a Python number.

    Raises:
        DTypeError: it is none of these, or its dtype is not supported.
    """
    if isinstance(leaf, Spec):
        return leaf
    kind = type(leaf)
    if kind is bool:
        return Spec((), dtypes.bool_)
    if kind is int:
        return Spec((), dtypes.int64, weak=True)
    if kind is float:
        # A Python float has 53 bits; it is narrowed only where it meets a narrower array.
        return Spec((), dtypes.float64, weak=True)
    shape, dtype = getattr(leaf, "shape", None), getattr(leaf, "dtype", None)
    if shape is None or dtype is None:
        errors.fail(
            errors.DTypeError,
            f"argument '{name}' is a {kind.__name__}, which is no array or number",
            help="pass arrays, mark it in static_argnums or static_argnames, or tw.register_pytree its class.",
        )
    return Spec(tuple(int(size) for size in shape), dtypes.of(dtype))


def add_input(recorder: Recorder, argument: Argument) -> tuple[Argument, Tracer]:
    """Append an argument to `@main`; sizes without a name get one of their own.

    Raises:
        ArgumentError: two sizes of one name have different bounds.
    """
    dims: list[int | Dim] = []
    sizes: list[Size] = []
    for axis, entry in enumerate(argument.spec.shape):
        if isinstance(entry, int):
            dims.append(entry)
            sizes.append(entry)
            continue
        dim = entry if entry is not None else Dim(_fresh(recorder), min=0)
        known = recorder.dims.get(dim.name)
        if known is None:
            recorder.dims[dim.name] = known = (dim, symbol(dim))
        elif known[0] != dim:
            errors.fail(
                errors.ArgumentError,
                f"argument '{argument.name}': {dim} and {known[0]} have one name but different bounds",
            )
        if isinstance(known[1], SymDim):
            (atom,) = next(iter(known[1].terms))
            atom.origins.append(f"dim {axis} of argument '{argument.name}'")
        dims.append(dim)
        sizes.append(known[1])
    spec = Spec(tuple(dims), argument.spec.dtype, argument.spec.weak)
    argument = Argument(argument.name, spec, argument.weight, argument.donate)
    tracer = recorder.root.argument(tuple(sizes), spec.dtype, spec.weak)
    return argument, tracer


def _fresh(recorder: Recorder) -> str:
    index = len(recorder.dims)
    while f"d{index}" in recorder.dims:
        index += 1
    return f"d{index}"


def finish(
    recorder: Recorder,
    arguments: list[Argument],
    outputs: Iterable[Any],
    name: str,
    in_tree: Any,
    out_tree: Any,
) -> Program:
    """Close `@main` and describe it.

    Raises:
        InternalError: what was built does not verify, which is a bug of ours.
    """
    from .ops.core import as_tracer

    m, scope = recorder.m, recorder.root
    ir = m.ir
    if recorder.scope is not scope:
        errors.fail(errors.TracerError, f"{name}: the trace ends inside a branch or loop body")
    with values.activate(recorder):
        results = [as_tracer(name, x) for x in outputs]
        operands = [scope.use(t) for t in results]
    m.create("func.return", results=[], operands=operands, loc=recorder.place, ip=scope.ip)
    constants: dict[str, np.ndarray] = {}
    arguments = list(arguments)
    for i, (_, array, tracer) in enumerate(recorder.captured_arrays.values()):
        constants[f"const_{i}"] = array
        arguments.append(Argument(f"const_{i}", Spec(array.shape, tracer.dtype), weight=True))
    types = [argument.type for argument in scope.block.arguments]
    signature = ir.FunctionType.get(types, [value.type for value in operands], context=m.context)
    recorder.main.attributes["function_type"] = ir.TypeAttr.get(signature, m.context)
    described = [ir.DictAttr.get(_argument_attributes(m, argument), m.context) for argument in arguments]
    recorder.main.attributes["arg_attrs"] = ir.ArrayAttr.get(described, m.context)
    _write_symbols(recorder)
    recorder.alive = False
    with m.context:
        try:
            recorder.module.operation.verify()
        except Exception as exc:
            errors.fail(errors.InternalError, f"{name}: the traced program does not verify: {exc}",
                        stage="traced", reason=str(exc), cause=exc)  # fmt: skip
    return Program(
        name,
        recorder.module,
        arguments,
        [Output(t.shape, t.dtype) for t in results],
        in_tree,
        out_tree,
        constants,
    )


def _argument_attributes(m: Any, argument: Argument) -> dict[str, Any]:
    names = [
        entry.name if isinstance(entry, Dim) and entry.min != entry.max else ""
        for entry in argument.spec.shape
    ]
    dims = m.ir.ArrayAttr.get([m.attribute(name) for name in names], m.context)
    attributes = {"tw.name": m.attribute(argument.name), "tw.dims": dims}
    if argument.weight:
        attributes["tw.weight"] = m.attribute(argument.name)
    if argument.donate:
        attributes["tw.donate"] = m.attribute(None)
    return attributes


def _write_symbols(recorder: Recorder) -> None:
    m = recorder.m
    ip = m.ir.InsertionPoint.at_block_begin(recorder.module.body)
    for name, (dim, _) in recorder.dims.items():
        if dim.min == dim.max:
            continue
        attributes = {
            "sym_name": m.attribute(name),
            "min": m.attribute(dim.min),
            "multiple_of": m.attribute(dim.multiple_of),
        }
        if dim.max is not None:
            attributes["max"] = m.attribute(dim.max)
        m.create("tw.dim_symbol", attributes=attributes, loc=m.unknown, ip=ip)


def trace(
    fn: Callable[..., Any],
    arguments: list[Argument],
    call: Callable[[list[Any]], Any],
    in_tree: pytree.TreeDef,
    name: str,
) -> Program:
    """Run a function on traced values.

    Args:
        fn: the user's function; only its place in the source is used here.
        arguments: what to make traced values of.
        call: calls the function with values in place of the arguments, in their order.
        in_tree: structure of the arguments.
        name: for messages and logs.

    Returns:
        The program.

    Raises:
        TilewrightError: the function does what cannot be compiled; with the user's line.
    """
    recorder = Recorder(name, _code(fn))
    try:
        with values.activate(recorder):
            pairs = [add_input(recorder, argument) for argument in arguments]
            outputs, out_tree = pytree.flatten(call([tracer for _, tracer in pairs]))
        return finish(recorder, [argument for argument, _ in pairs], outputs, name, in_tree, out_tree)
    finally:
        recorder.alive = False


def _code(fn: Any) -> CodeType | None:
    while fn is not None:
        code = getattr(fn, "__code__", None)
        if code is not None:
            return code
        fn = getattr(fn, "__wrapped__", None) or getattr(fn, "func", None) or getattr(fn, "__func__", None)
    return None
