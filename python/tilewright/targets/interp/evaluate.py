"""Walk a function of a ``traced`` module and compute each operation with its reference.

Every float operand is widened to float64 and the result rounded once to the type of the IR. That makes an operation
as right as its type allows; with ``wide`` nothing is rounded at all, which is the oracle of the tests.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import dtypes, errors
from ...reference import REFERENCE, shape
from . import attributes

# These move elements and never compute with them: widening would only cost memory.
_MOVES = frozenset(shape.TABLE) - {"scatter"}


def _divide_to_zero(a: int, b: int) -> int:
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


_INDEX_ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "arith.addi": operator.add,
    "arith.subi": operator.sub,
    "arith.muli": operator.mul,
    "arith.divsi": _divide_to_zero,
    "arith.divui": operator.floordiv,
    "arith.floordivsi": operator.floordiv,
    "arith.ceildivsi": lambda a, b: -(-a // b),
    "arith.remsi": lambda a, b: a - b * _divide_to_zero(a, b),
    "arith.remui": operator.mod,
    "arith.maxsi": max,
    "arith.minsi": min,
}


class Evaluator:
    """Executes the functions of one module.

    Args:
        module: an ``ir.Module`` at stage ``traced`` (or ``tensor``).
        ir: the module ``tilewright._mlir.ir``.
        wide: keep every float in float64.
    """

    def __init__(self, module: Any, ir: Any, wide: bool = False):
        self.ir, self.wide = ir, wide
        self.functions = {
            ir.StringAttr(op.operation.attributes["sym_name"]).value: op.operation
            for op in module.body.operations
            if op.operation.name == "func.func"
        }
        self.storage: dict[str, np.dtype] = {}
        self.env: dict[Any, Any] = {}

    # ---- functions and blocks -------------------------------------------------------------------------

    def call(self, name: str, args: Sequence[Any]) -> list[Any]:
        """Run a function.

        Args:
            name: its symbol.
            args: one array per argument.

        Returns:
            The results; floats are float64 when wide.
        """
        if name not in self.functions:
            errors.fail(errors.InternalError, f"interp: the module has no function @{name}")
        outer, self.env = self.env, {}
        try:
            with np.errstate(all="ignore"):
                return self._block(self.functions[name].regions[0].blocks[0], args)
        finally:
            self.env = outer

    def _block(self, block: Any, args: Sequence[Any]) -> list[Any]:
        for argument, value in zip(block.arguments, args, strict=True):
            self.env[argument] = self._store(value, argument.type)
        for view in block.operations:
            op = view.operation
            operands = [self.env[operand] for operand in op.operands]
            if op.name in ("func.return", "tw.yield"):
                return operands
            for result, value in zip(op.results, self._operation(op, operands), strict=True):
                self.env[result] = self._store(value, result.type)
        return errors.fail(errors.InternalError, "interp: a block has no terminator")

    def _dtype(self, kind: Any) -> np.dtype:
        """Return the dtype that values of a tensor type are kept in."""
        text = str(kind.element_type)
        if text not in self.storage:
            dtype = dtypes.by_mlir(text)
            self.storage[text] = np.dtype(np.float64) if self.wide and dtype.is_float else dtype.numpy
        return self.storage[text]

    def _store(self, value: Any, kind: Any) -> Any:
        if isinstance(kind, self.ir.IndexType):
            return int(value)
        return np.asarray(value).astype(self._dtype(self.ir.RankedTensorType(kind)), copy=False)

    # ---- operations -----------------------------------------------------------------------------------

    def _operation(self, op: Any, operands: list[Any]) -> Sequence[Any]:
        name = op.name
        if name == "arith.constant":
            return [attributes.constant(op.attributes["value"], self.ir)]
        if name in _INDEX_ARITHMETIC:
            return [_INDEX_ARITHMETIC[name](*operands)]
        if name == "func.call":
            callee = self.ir.FlatSymbolRefAttr(op.attributes["callee"]).value
            return self.call(callee, operands)
        short = name.removeprefix("tw.")
        special = _SPECIAL.get(short)
        if special is not None:
            return special(self, op, operands)
        if short not in REFERENCE or short == name:
            loc = attributes.source_location(op.location)
            errors.fail(errors.UnsupportedOpError, f"interp: no reference for operation {name}", loc=loc)
        return [self._reference(short, operands, self._attributes(op))]

    def _reference(self, name: str, operands: Sequence[Any], keywords: dict[str, Any]) -> Any:
        if name not in _MOVES:
            operands = [self._widened(value) for value in operands]
            keywords = {key: self._widened(value) for key, value in keywords.items()}
        return REFERENCE[name](*operands, **keywords)

    @staticmethod
    def _widened(value: Any) -> Any:
        if isinstance(value, np.ndarray) and dtypes.of(value).is_float:
            return value.astype(np.float64, copy=False)
        return value

    def _attributes(self, op: Any) -> dict[str, Any]:
        """Return the operation's own attributes; names with a dot are notes of others."""
        result = {}
        for entry in op.attributes:
            name, attribute = (
                (entry.name, entry.attr) if hasattr(entry, "attr") else (entry, op.attributes[entry])
            )
            if "." not in name and name not in ("operandSegmentSizes", "resultSegmentSizes"):
                result[name] = attributes.plain(attribute, self.ir)
        return result

    def _segments(self, op: Any, operands: list[Any]) -> list[list[Any]]:
        """Split operands by the operation's segment sizes."""
        result, start = [], 0
        for size in self.ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]):
            result.append(operands[start : start + size])
            start += size
        return result

    # ---- operations whose type says something, or whose operands come in segments ----------------------

    def _to_shape(self, op: Any, operands: list[Any]) -> Sequence[Any]:
        kind = self.ir.RankedTensorType(op.results[0].type)
        name = op.name.removeprefix("tw.")
        keywords: dict[str, Any] = self._attributes(op)
        tensors = operands[: 0 if name == "iota" else 1]
        keywords["shape"] = attributes.shape_of(kind, operands[len(tensors) :])
        if name == "iota":
            keywords["dtype"] = self._dtype(kind)
        if name == "reshape" and int(np.prod(keywords["shape"])) != tensors[0].size:
            errors.fail(
                errors.ShapeError,
                f"reshape: {list(tensors[0].shape)} does not have the elements of {list(keywords['shape'])}",
                loc=attributes.source_location(op.location),
            )
        return [self._reference(name, tensors, keywords)]

    def _to_dtype(self, op: Any, operands: list[Any]) -> Sequence[Any]:
        keywords = self._attributes(op)
        dtype = self._dtype(self.ir.RankedTensorType(op.results[0].type))
        keywords["dtype"] = np.float64 if dtypes.of(dtype).is_float else dtype
        return [self._reference(op.name.removeprefix("tw."), operands, keywords)]

    def _slice(self, op: Any, operands: list[Any]) -> Sequence[Any]:
        (x,), *dynamic = self._segments(op, operands)
        given = self._attributes(op)
        parts = [
            attributes.mixed(given[f"static_{name}"], values)
            for name, values in zip(("offsets", "sizes", "strides"), dynamic)
        ]
        return [REFERENCE["slice"](x, *parts)]

    def _update_slice(self, op: Any, operands: list[Any]) -> Sequence[Any]:
        x, update, *offsets = operands
        offsets = attributes.mixed(self._attributes(op)["static_offsets"], offsets)
        return [REFERENCE["update_slice"](x, update, offsets)]

    def _gather(self, op: Any, operands: list[Any]) -> Sequence[Any]:
        keywords = self._attributes(op)
        if keywords.get("mode") == "checked":  # its check stands before it
            keywords["mode"] = "clip"
        try:
            return [REFERENCE["gather"](*operands, **keywords)]
        except IndexError as error:
            loc = attributes.source_location(op.location)
            errors.fail(errors.IndexRangeError, f"gather: {error}", loc=loc)

    def _layer_norm(self, op: Any, operands: list[Any]) -> Sequence[Any]:
        (x,), weight, bias = self._segments(op, operands)
        keywords = self._attributes(op) | {
            name: values[0] for name, values in (("weight", weight), ("bias", bias)) if values
        }
        return [self._reference("layer_norm", [x], keywords)]

    def _quantize(self, op: Any, operands: list[Any]) -> Sequence[Any]:
        kind = self.ir.RankedTensorType(op.results[1].type)
        keywords = self._attributes(op)
        # '?' of the scales is the number of rows
        rows = [operands[0].shape[0]] * kind.rank
        keywords["scales_shape"] = attributes.shape_of(kind, rows)
        keywords["scales_dtype"] = attributes.element_dtype(kind).numpy
        return self._reference("quantize", operands, keywords)

    # ---- control flow ---------------------------------------------------------------------------------

    def _cond(self, op: Any, operands: list[Any]) -> Sequence[Any]:
        taken = op.regions[0 if bool(operands[0][()]) else 1]
        return self._block(taken.blocks[0], operands[1:])

    def _while(self, op: Any, operands: list[Any]) -> Sequence[Any]:
        condition, body = op.regions[0].blocks[0], op.regions[1].blocks[0]
        carried: Sequence[Any] = operands
        while bool(self._block(condition, carried)[0][()]):
            carried = self._block(body, carried)
        return carried

    def _scan(self, op: Any, operands: list[Any]) -> Sequence[Any]:
        carried, xs = self._segments(op, operands)
        count, length = len(carried), len(xs[0])
        stacked: list[list[Any]] = [[] for _ in range(len(op.results) - count)]
        for step in range(length):
            values = self._block(op.regions[0].blocks[0], [*carried, *(x[step] for x in xs)])
            carried = values[:count]
            for rows, value in zip(stacked, values[count:]):
                rows.append(value)
        results = []
        for result, rows in zip(list(op.results)[count:], stacked):
            kind = self.ir.RankedTensorType(result.type)
            # Of no steps, sizes that only a step would tell are 0.
            results.append(np.stack(rows) if rows else np.zeros(attributes.shape_of(kind, [0] * kind.rank)))
        return [*carried, *results]

    def _check(self, op: Any, operands: list[Any]) -> Sequence[Any]:
        if not bool(operands[0][()]):
            message = self._attributes(op)["message"]
            errors.fail(errors.CheckError, message, loc=attributes.source_location(op.location))
        return []


_SPECIAL: dict[str, Callable[[Evaluator, Any, list[Any]], Sequence[Any]]] = {
    "broadcast": Evaluator._to_shape,
    "reshape": Evaluator._to_shape,
    "iota": Evaluator._to_shape,
    "cast": Evaluator._to_dtype,
    "dot_general": Evaluator._to_dtype,
    "dequantize": Evaluator._to_dtype,
    "slice": Evaluator._slice,
    "update_slice": Evaluator._update_slice,
    "gather": Evaluator._gather,
    "layer_norm": Evaluator._layer_norm,
    "quantize": Evaluator._quantize,
    "cond": Evaluator._cond,
    "while": Evaluator._while,
    "scan": Evaluator._scan,
    "check": Evaluator._check,
}
