"""Describes an object: what it takes and returns, what it packs, where its user lines are, what its kernels do."""

from __future__ import annotations

import hashlib
import linecache
from typing import Any

from . import dtypes

#: Version of the calling convention; the runtime refuses others.
ABI = 1


def _function(module: Any, name: str) -> Any | None:
    from ._mlir import ir

    for view in module.body.operations:
        op = view.operation
        if op.name == "func.func" and ir.StringAttr(op.attributes["sym_name"]).value == name:
            return op
    return None


def _tensor(kind: Any) -> dict[str, Any]:
    shape = [None if kind.is_dynamic_dim(i) else kind.get_dim_size(i) for i in range(kind.rank)]
    return {"dtype": dtypes.by_mlir(str(kind.element_type)).name, "shape": shape}


def _pinned(shape: list[int | None], kind: Any) -> list[int | None]:
    """Take over sizes that became static on the way down, where symbols have one possible value."""
    sizes = _tensor(kind)["shape"]
    if len(sizes) != len(shape):
        return shape
    return [now if size is None else size for size, now in zip(shape, sizes, strict=True)]


def _attributes(op: Any, name: str, index: int) -> dict[str, Any]:
    if name not in op.attributes:
        return {}
    return {entry.name: entry.attr for entry in op.attributes[name][index]}


def _signature(main: Any) -> tuple[list[Any], list[Any]]:
    from ._mlir import ir

    kind = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value)
    return list(kind.inputs), list(kind.results)


def _text(attribute: Any) -> str:
    from ._mlir import ir

    return ir.StringAttr(attribute).value


def _arguments(traced: Any, kernels: Any, loads: list[str]) -> tuple[list[dict[str, Any]], dict[int, int]]:
    """Describe the arguments of compiled code, and map positions of the traced program to them."""
    from ._mlir import ir

    types, _ = _signature(traced)
    kept, _ = _signature(kernels)
    dropped = (
        list(kernels.attributes["tw.dropped_arguments"])
        if "tw.dropped_arguments" in kernels.attributes
        else []
    )
    names = [
        _text(a["tw.name"]) if (a := _attributes(traced, "arg_attrs", i)) and "tw.name" in a else f"arg{i}"
        for i in range(len(types))
    ]
    originals = [i for i in range(len(types)) if i not in dropped]
    described: list[dict[str, Any]] = []
    for position, kind in enumerate(kept):
        attributes = _attributes(kernels, "arg_attrs", position)
        packed_by = _text(attributes["tw.packed_by"]) if "tw.packed_by" in attributes else None
        source = originals[position] if position < len(originals) else None
        entry = _tensor(types[source] if source is not None else kind)
        if source is not None and packed_by is None:
            entry["shape"] = _pinned(entry["shape"], kind)
        weight = _text(attributes["tw.weight"]) if "tw.weight" in attributes else None
        entry.update(
            name=names[source] if source is not None else weight,
            dims=[_text(d) or None for d in attributes["tw.dims"]]
            if "tw.dims" in attributes
            else [None] * kind.rank,
            kind="weight" if weight is not None else "input",
            donate="tw.donate" in attributes,
            weight=weight,
            packed_by=loads.index(packed_by) if packed_by else None,
            sources=[_source(names, traced, ir.IntegerAttr(s).value) for s in attributes["tw.sources"]]
            if packed_by
            else [],
        )
        described.append(entry)
    return described, {original: position for position, original in enumerate(originals)}


def _source(names: list[str], traced: Any, index: int) -> str:
    attributes = _attributes(traced, "arg_attrs", index)
    return _text(attributes["tw.weight"]) if "tw.weight" in attributes else names[index]


def _outputs(traced: Any, host: Any, final: Any) -> list[dict[str, Any]]:
    from ._mlir import ir

    _, types = _signature(traced)
    _, lowered = _signature(host)
    attributes = final.operation.attributes
    aliases = list(attributes["tw.aliases"]) if "tw.aliases" in attributes else None
    outputs = []
    for index, kind in enumerate(types):
        entry = _tensor(kind)
        entry["shape"] = _pinned(entry["shape"], lowered[index])
        alias = ir.IntegerAttr(aliases[index]).value if aliases is not None else -1
        entry["alias"] = None if alias < 0 else alias
        outputs.append(entry)
    return outputs


def _symbols(module: Any) -> dict[str, dict[str, Any]]:
    from ._mlir import ir

    symbols = {}
    for view in module.body.operations:
        op = view.operation
        if op.name == "tw.dim_symbol":
            values = {
                n: ir.IntegerAttr(op.attributes[n]).value
                for n in ("min", "max", "multiple_of")
                if n in op.attributes
            }
            symbols[_text(op.attributes["sym_name"])] = {
                "min": values.get("min", 0),
                "max": None if values.get("max", -1) < 0 else values["max"],
                "multiple_of": values.get("multiple_of", 1),
            }
    return symbols


def _loads(kernels: Any, described: dict[str, Any], traced: Any) -> list[dict[str, Any]]:
    from ._mlir import ir

    # Raw weights are checked against the types they were traced with, which know unsigned integers.
    types, _ = _signature(traced)
    taken: dict[str, list[dict[str, Any]]] = {}
    host = _function(kernels, "main")
    for position in range(len(_signature(host)[0])):
        attributes = _attributes(host, "arg_attrs", position)
        if "tw.packed_by" in attributes:
            sources = [ir.IntegerAttr(source).value for source in attributes["tw.sources"]]
            taken.setdefault(
                _text(attributes["tw.packed_by"]), [_tensor(types[source]) for source in sources]
            )
    entries = []
    for name, function in described.items():
        _, results = _signature(function)
        key = hashlib.sha256(str(function).encode() + _callees(kernels, function)).hexdigest()
        entries.append(
            {
                "entry": f"tw_{name}",
                "shapes": f"tw_{name}_shapes",
                "key": key,
                "args": taken.get(name, []),
                "output": _tensor(results[0]),
            }
        )
    return entries


def _callees(kernels: Any, function: Any) -> bytes:
    from ._mlir import ir

    text = []
    for view in function.regions[0].blocks[0].operations:
        if view.operation.name == "func.call":
            text.append(
                str(_function(kernels, ir.FlatSymbolRefAttr(view.operation.attributes["callee"]).value))
            )
    return "".join(text).encode()


def _locations(final: Any) -> list[dict[str, Any]]:
    from ._mlir import ir

    attributes = final.operation.attributes
    if "tw.locations" not in attributes:
        return []
    rows = []
    for row in attributes["tw.locations"]:
        file, line, column, function, message = list(row)
        path, number = _text(file), ir.IntegerAttr(line).value
        rows.append(
            {
                "file": path,
                "line": number,
                "column": ir.IntegerAttr(column).value,
                "function": _text(function),
                # The line as it was compiled: the file may change, or be absent where the program runs.
                "text": linecache.getline(path, number).strip(),
                "message": _text(message),
            }
        )
    return rows


def build_manifest(traced: Any, kernels: Any, final: Any, target: Any, report: Any) -> dict[str, Any]:
    """Describe the object of a program.

    Args:
        traced: The module that was compiled, whose dtypes and argument names count.
        kernels: The same at stage `kernels`, whose arguments are those of the object.
        final: The same at stage `llvm`.
        target: The target it was compiled for.
        report: Times and kernels.

    Returns:
        The manifest as plain data that JSON can hold.
    """
    main, host = _function(traced, "main"), _function(kernels, "main")
    loads = {}
    for view in kernels.body.operations:
        op = view.operation
        if op.name == "func.func" and "tw.load" in op.attributes:
            loads[_text(op.attributes["sym_name"])] = op
    args, _ = _arguments(main, host, list(loads))
    return {
        "abi": ABI,
        **{name: value for name, value in target.key().items() if name in ("target", "cpu", "features")},
        "entry": "tw_main",
        "shapes": "tw_shapes",
        "args": args,
        "outputs": _outputs(main, host, final),
        "symbols": _symbols(traced),
        "loads": _loads(kernels, loads, main),
        "scratch": None,
        "locations": _locations(final),
        "seconds": report.seconds,
        "kernels": [
            {
                "name": kernel.facts.name,
                "calls": kernel.calls,
                "lines": kernel.lines,
                "unfused": kernel.unfused,
                "ops": [
                    {
                        "kind": op.kind,
                        "loops": list(op.loops),
                        "ranges": list(op.ranges),
                        "flops": op.flops,
                        "config": config.text(),
                        "why": config.why,
                        "operands": [
                            {"shape": list(a.shape), "bits": a.bits, "output": a.is_output}
                            for a in op.accesses
                        ],
                    }
                    for op, config in zip(kernel.facts.ops, kernel.configs, strict=True)
                ],
            }
            for kernel in report.kernels
        ],
    }
