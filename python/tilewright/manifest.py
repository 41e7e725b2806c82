"""Describes an object: what it takes and returns, what it packs, where its user lines are, what its kernels do.

Lowering forgets what the manifest must say: unsigned types become signless, arguments become pointers. So the
description is written on the module while the module still shows it, as the attribute `tw.manifest`, and read off the
last stage: a dump of any stage can be compiled.
"""

from __future__ import annotations

import hashlib
import json
import linecache
import re
from typing import Any

from . import dtypes, errors

#: Version of the calling convention; the runtime refuses others.
ABI = 1

#: The module attribute that carries the description from stage to stage: JSON with the two kinds of quotes exchanged,
#: so that IR need not escape them.
ATTRIBUTE = "tw.manifest"

_QUOTES = str.maketrans("'\"", "\"'")


def _functions(module: Any) -> dict[str, Any]:
    operations = (view.operation for view in module.body.operations)
    return {_text(op.attributes["sym_name"]): op for op in operations if op.name == "func.func"}


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


def _name(attributes: dict[str, Any], index: int) -> str:
    return _text(attributes["tw.name"]) if "tw.name" in attributes else f"arg{index}"


def _weight(attributes: dict[str, Any]) -> str | None:
    return _text(attributes["tw.weight"]) if "tw.weight" in attributes else None


def _dropped(main: Any) -> list[int]:
    return list(main.attributes["tw.dropped_arguments"]) if "tw.dropped_arguments" in main.attributes else []


def _read(module: Any) -> dict[str, Any] | None:
    attributes = module.operation.attributes
    if ATTRIBUTE not in attributes:
        return None
    return json.loads(_text(attributes[ATTRIBUTE]).translate(_QUOTES))


def _write(module: Any, description: dict[str, Any]) -> None:
    from ._mlir import ir

    text = json.dumps(description).translate(_QUOTES)
    module.operation.attributes[ATTRIBUTE] = ir.StringAttr.get(text, module.context)


def is_recorded(module: Any) -> bool:
    """Whether a module carries a description."""
    return ATTRIBUTE in module.operation.attributes


def record_signature(module: Any) -> None:
    """Write on a module what its program takes and returns, while types still say it (up to stage `tensor`)."""
    main = _functions(module)["main"]
    inputs, results = _signature(main)
    arguments = []
    for index, kind in enumerate(inputs):
        attributes = _attributes(main, "arg_attrs", index)
        arguments.append({**_tensor(kind), "name": _name(attributes, index), "weight": _weight(attributes)})
    _write(
        module,
        {"args": arguments, "outputs": [_tensor(kind) for kind in results], "symbols": _symbols(module)},
    )


def record_interface(module: Any) -> None:
    """Turn the signature on a module into the interface of its object: what is passed and packed (stage `kernels`)."""
    functions = _functions(module)
    main = functions["main"]
    description = _read(module)
    if description is None:
        if _dropped(main):
            raise errors.FormatError(
                f"the module carries no {ATTRIBUTE}, which names the weights that it packs",
                help="start from a dump, or from stage traced or tensor.",
            )
        record_signature(module)
        description = _read(module)
    assert description is not None
    traced = description["args"]
    loads = [name for name, function in functions.items() if "tw.load" in function.attributes]
    description["args"] = _arguments(traced, main, loads)
    for entry, kind in zip(description["outputs"], _signature(main)[1], strict=True):
        entry["shape"] = _pinned(entry["shape"], kind)
    description["loads"] = _loads(functions, loads, traced)
    _write(module, description)


def _arguments(traced: list[dict[str, Any]], main: Any, loads: list[str]) -> list[dict[str, Any]]:
    """Describe the arguments of compiled code: those of the traced program that are left, then packed weights."""
    from ._mlir import ir

    dropped = _dropped(main)
    originals = [argument for i, argument in enumerate(traced) if i not in dropped]
    described: list[dict[str, Any]] = []
    for position, kind in enumerate(_signature(main)[0]):
        attributes = _attributes(main, "arg_attrs", position)
        packed_by = _text(attributes["tw.packed_by"]) if "tw.packed_by" in attributes else None
        original = originals[position] if position < len(originals) else None
        weight = _weight(attributes)
        sources = [traced[ir.IntegerAttr(s).value] for s in attributes["tw.sources"]] if packed_by else []
        entry = {k: original[k] for k in ("dtype", "shape")} if original else _tensor(kind)
        if original:
            entry["shape"] = _pinned(entry["shape"], kind)
        entry.update(
            name=original["name"] if original else weight,
            dims=[_text(d) or None for d in attributes["tw.dims"]]
            if "tw.dims" in attributes
            else [None] * kind.rank,
            kind="weight" if weight is not None else "input",
            donate="tw.donate" in attributes,
            weight=weight,
            packed_by=loads.index(packed_by) if packed_by else None,
            sources=[source["weight"] or source["name"] for source in sources],
        )
        described.append(entry)
    return described


def _outputs(described: list[dict[str, Any]], final: Any) -> list[dict[str, Any]]:
    from ._mlir import ir

    attributes = final.operation.attributes
    aliases = (
        [ir.IntegerAttr(a).value for a in attributes["tw.aliases"]] if "tw.aliases" in attributes else []
    )
    aliases += [-1] * (len(described) - len(aliases))
    return [
        {**entry, "alias": None if alias < 0 else alias}
        for entry, alias in zip(described, aliases, strict=True)
    ]


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


def _loads(functions: dict[str, Any], loads: list[str], traced: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from ._mlir import ir

    main = functions["main"]
    # Raw weights are checked against the types they were traced with, which know unsigned integers.
    taken: dict[str, list[dict[str, Any]]] = {}
    for position in range(len(_signature(main)[0])):
        attributes = _attributes(main, "arg_attrs", position)
        if "tw.packed_by" in attributes:
            sources = [traced[ir.IntegerAttr(source).value] for source in attributes["tw.sources"]]
            taken.setdefault(
                _text(attributes["tw.packed_by"]), [{k: s[k] for k in ("dtype", "shape")} for s in sources]
            )
    entries = []
    for name in loads:
        _, results = _signature(functions[name])
        code = [functions[name], *_callees(functions, functions[name])]
        # Without the local scope, numbering the values of all the module would come first, each time.
        text = "".join(op.get_asm(use_local_scope=True) for op in code)
        key = hashlib.sha256(_nameless(text).encode()).hexdigest()
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


def _nameless(text: str) -> str:
    """Return code with its symbols numbered as they appear: programs of one model count their kernels differently."""
    numbers: dict[str, str] = {}
    return re.sub(r"@[\w$.]+", lambda found: numbers.setdefault(found[0], f"@{len(numbers)}"), text)


def _callees(functions: dict[str, Any], function: Any) -> list[Any]:
    from ._mlir import ir

    calls = (view.operation for view in function.regions[0].blocks[0].operations)
    return [
        functions[ir.FlatSymbolRefAttr(call.attributes["callee"]).value]
        for call in calls
        if call.name == "func.call"
    ]


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


def build_manifest(final: Any, target: Any, report: Any) -> dict[str, Any]:
    """Describe the object of a program.

    Args:
        final: The module at stage `llvm`, with the description that earlier stages wrote on it.
        target: The target it was compiled for.
        report: Times and kernels.

    Returns:
        The manifest as plain data that JSON can hold.

    Raises:
        FormatError: The module carries no description.
    """
    described = _read(final)
    if described is None or "loads" not in described:
        raise errors.FormatError(
            f"the module carries no {ATTRIBUTE}, which says what its object takes and returns",
            help="dumps of Tilewright carry it; start from a dump, or from a stage that still has tensors.",
        )
    return {
        "abi": ABI,
        **{name: value for name, value in target.key().items() if name in ("target", "cpu", "features")},
        "entry": "tw_main",
        "shapes": "tw_shapes",
        "args": described["args"],
        "outputs": _outputs(described["outputs"], final),
        "symbols": described["symbols"],
        "loads": described["loads"],
        "scratch": None,
        "locations": _locations(final),
        "seconds": report.seconds,
        "kernels": [
            {
                "name": kernel.facts.name,
                "calls": kernel.calls,
                "lines": kernel.lines,
                "unfused": kernel.unfused,
                "arithmetic": kernel.facts.arithmetic(),
                "ops": [
                    {
                        "kind": op.kind,
                        "loops": list(op.loops),
                        "ranges": list(op.ranges),
                        "flops": op.flops,
                        "config": config.text(),
                        "why": config.why,
                        "candidates": list(config.candidates),
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
