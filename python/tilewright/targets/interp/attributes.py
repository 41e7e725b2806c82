"""Types, attributes and locations of MLIR as plain Python values."""

from __future__ import annotations

import dataclasses
import linecache
import re
from typing import Any

import numpy as np

from ... import dtypes, errors

_DYNAMIC = -(2**63)
_FORMAT = re.compile(r'#tw\.format<name = "(\w+)", group = (\d+)>')
_NUMBER = re.compile(r"0x[0-9A-Fa-f]+|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def element_dtype(kind: Any) -> dtypes.DType:
    """Return the dtype of a ranked tensor type."""
    return dtypes.by_mlir(str(kind.element_type))


def shape_of(kind: Any, sizes: list[int]) -> tuple[int, ...]:
    """Return the shape of a ranked tensor type, its '?' taken from ``sizes`` in order."""
    remaining = iter(sizes)
    return tuple(
        next(remaining) if kind.is_dynamic_dim(i) else kind.get_dim_size(i) for i in range(kind.rank)
    )


def mixed(static: list[int], values: list[int]) -> list[int]:
    """Merge static entries with the values that stand where an entry is dynamic."""
    remaining = iter(values)
    return [next(remaining) if entry == _DYNAMIC else entry for entry in static]


def plain(attribute: Any, ir: Any) -> Any:
    """Return an attribute of an operation as a Python value.

    Raises:
        InternalError: for a kind of attribute that no operation at stage ``traced`` has.
    """
    text = str(attribute)
    if match := _FORMAT.match(text):
        return match[1], int(match[2])
    for kind in (ir.BoolAttr, ir.IntegerAttr, ir.FloatAttr, ir.StringAttr):
        if isinstance(attribute, kind):
            return kind(attribute).value
    if isinstance(attribute, ir.DenseI64ArrayAttr):
        return list(ir.DenseI64ArrayAttr(attribute))
    errors.fail(errors.InternalError, f"interp: cannot read attribute {text}")


def constant(attribute: Any, ir: Any) -> Any:
    """Return the value of ``arith.constant``: an int for an index, an array for a dense tensor."""
    if isinstance(attribute, ir.IntegerAttr):
        return ir.IntegerAttr(attribute).value
    kind = ir.RankedTensorType(attribute.type)
    dtype = element_dtype(kind)
    if dtype is not dtypes.bfloat16 and not dtype.is_float8:
        return np.array(attribute).astype(dtype.numpy, copy=False)
    # The bindings have no buffer for these: read the text, numbers or one string of bytes.
    code = np.uint8 if dtype.is_float8 else np.uint16
    text = str(attribute)
    body = text[text.index("<") + 1 : text.rindex("> :")]
    shape = shape_of(kind, [])
    if body.startswith('"0x'):
        bits = np.frombuffer(bytes.fromhex(body[3:-1]), code)
    else:
        words = _NUMBER.findall(body)
        values = np.array([0.0 if word.startswith("0x") else float(word) for word in words], np.float32)
        bits = values.astype(dtype.numpy).view(code)
        for position, word in enumerate(words):
            if word.startswith("0x"):  # infinities and NaN are written as bits
                bits[position] = int(word, 16)
    flat = bits.view(dtype.numpy)
    return np.full(shape, flat[0]) if flat.size == 1 else flat.reshape(shape)


def source_location(location: Any) -> errors.SourceLocation | None:
    """Return the innermost file location inside an MLIR location, None when there is none."""
    if location.is_a_file():
        text = linecache.getline(location.filename, location.start_line).strip()
        return errors.SourceLocation(location.filename, location.start_line, location.start_col, text=text)
    if location.is_a_name():
        inner = source_location(location.child_loc)
        if inner is None or not location.name_str:
            return inner
        return dataclasses.replace(inner, function=location.name_str)
    if location.is_a_callsite():
        return source_location(location.callee) or source_location(location.caller)
    if location.is_a_fused():
        return next(filter(None, map(source_location, location.locations)), None)
    return None
