"""Ahead of time: a compiled program as files that a C program links, with no Python and no Tilewright at run time.

The folder gets the object with symbols of its own, a header with the prototypes, the manifest, the weights, and the C
sources of the host table (loops run serially; a program can bring its own threads).
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import _runtime, dtypes, errors

__all__ = ["export", "rename_symbols"]

_C_FILES = ("Abi.h", "tilewright_rt.h", "tilewright_rt.c")
_C_TYPES = {
    "float64": "double",
    "float32": "float",
    "float16": "uint16_t (float16)",
    "bfloat16": "uint16_t (bfloat16)",
    "float8_e4m3fn": "uint8_t (float8_e4m3fn)",
    "float8_e5m2": "uint8_t (float8_e5m2)",
    "bool": "uint8_t (0 or 1)",
}


def _c_source(name: str) -> bytes:
    """Read a C file of the runtime: beside this module in an installed package, in cpp/ in a source tree."""
    tree = Path(__file__).resolve().parents[3] / "cpp" / "Runtime"
    for path in (Path(__file__).parent / "c" / name, tree / name, tree / "Export" / name):
        if path.is_file():
            return path.read_bytes()
    raise errors.InternalError(f"export: the package lacks its file runtime/c/{name}")


def rename_symbols(data: bytes, names: Mapping[str, str]) -> bytes:
    """Rename symbols of a relocatable ELF object of a 64-bit little-endian machine.

    Args:
        data: the object.
        names: old name -> new name; symbols that are not there are ignored.

    Returns:
        The object with a longer string table at its end; nothing else moves.

    Raises:
        FormatError: it is no such object.
    """
    if data[:6] != b"\x7fELF\x02\x01":
        raise errors.FormatError("export: not a 64-bit little-endian ELF object")
    result = bytearray(data)
    try:
        (table,) = struct.unpack_from("<Q", data, 40)
        size, count = struct.unpack_from("<HH", data, 58)
        sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * size) for i in range(count)]
        for section in sections:
            _, kind, _, _, offset, length, link, _, _, entry = section
            if kind != 2:  # SHT_SYMTAB
                continue
            strings_offset, strings_size = sections[link][4], sections[link][5]
            strings = bytearray(data[strings_offset : strings_offset + strings_size])
            for at in range(offset, offset + length, entry):
                (name_at,) = struct.unpack_from("<I", data, at)
                old = bytes(strings[name_at : strings.index(0, name_at)]).decode()
                if old in names:
                    struct.pack_into("<I", result, at, len(strings))
                    strings += names[old].encode() + b"\0"
            # Section names may live in the same table: it only grows, so that their places stay right.
            struct.pack_into("<QQ", result, table + link * size + 24, len(result), len(strings))
            result += strings
    except (struct.error, IndexError, ValueError):
        raise errors.FormatError("export: the object is damaged") from None
    return bytes(result)


def export(
    executable: _runtime.Executable, directory: str | os.PathLike[str], name: str = "model"
) -> list[Path]:
    """Write a program for C.

    Args:
        executable: the program; weights bound to it go to `NAME.weights`.
        directory: where; made if missing. Files of the same names are replaced.
        name: prefix of files and symbols, a C identifier.

    Returns:
        The files: `NAME.o`, `NAME.h`, `NAME.json` (the manifest), `NAME.weights` if any are bound, and the C sources
        of the host table.

    Raises:
        ArgumentError: `name` is no C identifier.
        OSError: a file cannot be written.

    Example:
        >>> compiled.export("out", "add")  # doctest: +SKIP
        then:  cc main.c out/add.o out/tilewright_rt.c -Iout -lm
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        errors.fail(errors.ArgumentError, f"export: {name!r} is no C identifier")
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    manifest = json.loads(executable.manifest_json)
    entries = [manifest["entry"], manifest.get("shapes")]
    for load in manifest.get("loads") or ():
        entries += [load["entry"], load.get("shapes")]
    symbols = {entry: f"{name}_{entry.removeprefix('tw_')}" for entry in entries if entry}
    renamed = _rename_entries(manifest, symbols)
    places, weights = _weights(executable)
    files = {
        f"{name}.o": rename_symbols(bytes(executable.object), symbols),
        f"{name}.json": (json.dumps(renamed, indent=1) + "\n").encode(),
        f"{name}.h": _header(name, renamed, places).encode(),
        **{file: _c_source(file) for file in _C_FILES},
    }
    if places:
        files[f"{name}.weights"] = weights
    paths = []
    for file, content in files.items():
        (folder / file).write_bytes(content)
        paths.append(folder / file)
    return paths


def _rename_entries(manifest: dict[str, Any], symbols: Mapping[str, str]) -> dict[str, Any]:
    def renamed(row: dict[str, Any]) -> dict[str, Any]:
        return {
            key: symbols.get(row[key], row[key]) if key in ("entry", "shapes") else row[key] for key in row
        }

    return {**renamed(manifest), "loads": [renamed(load) for load in manifest.get("loads") or ()]}


def _weights(executable: _runtime.Executable) -> tuple[list[tuple[int, int, int]], bytes]:
    """Return (argument, offset, bytes) of each bound weight, and all of them one after another."""
    places, content = [], bytearray()
    for index, array in sorted(executable.bound_arrays().items()):
        content += b"\0" * (-len(content) % 64)
        places.append((index, len(content), array.nbytes))
        content += np.ascontiguousarray(array).tobytes()
    return places, bytes(content)


def _describe(spec: Mapping[str, Any], symbols: Mapping[str, Any]) -> str:
    names = spec.get("dims") or [None] * len(spec["shape"])
    sizes = [name or ("?" if n is None else str(n)) for n, name in zip(spec["shape"], names, strict=True)]
    row = dtypes.by_name(spec["dtype"])
    c_type = _C_TYPES.get(row.name, f"{row.name}_t")
    rules = []
    for symbol in dict.fromkeys(n for n in names if n):
        rule = symbols.get(symbol) or {}
        low, high, step = rule.get("min") or 0, rule.get("max"), rule.get("multiple_of") or 1
        text = f"{symbol} >= {low}" if high is None else f"{low} <= {symbol} <= {high}"
        rules.append(text + (f", a multiple of {step}" if step != 1 else ""))
    return f"{c_type} [{', '.join(sizes)}]" + (f"   ({'; '.join(rules)})" if rules else "")


def _header(name: str, manifest: dict[str, Any], places: list[tuple[int, int, int]]) -> str:
    upper, symbols = name.upper(), manifest.get("symbols") or {}
    lines = [
        f"/* {name}.h: written by Tilewright's export; see Abi.h for the calling convention.",
        "",
        f"   Compiled for {manifest.get('cpu') or 'the exporting machine'}. Arrays are row-major and dense.",
        "",
        f"   in  of {manifest['entry']}:",
    ]
    for i, spec in enumerate(manifest["args"]):
        role = " weight" if spec.get("kind") == "weight" else ""
        lines.append(f"     [{i}]{role} {spec.get('name', '')}: {_describe(spec, symbols)}")
    lines.append(f"   out of {manifest['entry']}:")
    for i, spec in enumerate(manifest["outputs"]):
        alias = spec.get("alias")
        same = "" if alias is None else f"   (pass the same memory as in[{alias}])"
        lines.append(f"     [{i}] {_describe(spec, symbols)}{same}")
    lines += [
        "*/",
        "",
        f"#ifndef {upper}_H",
        f"#define {upper}_H",
        "",
        '#include "tilewright_rt.h"',
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        f"#define {upper}_INPUTS {len(manifest['args'])}",
        f"#define {upper}_OUTPUTS {len(manifest['outputs'])}",
        "/* Numbers that the shapes function writes: all output dims, then the scratch bytes. */",
        f"#define {upper}_SHAPES {sum(len(out['shape']) for out in manifest['outputs']) + 1}",
    ]
    entry = "(const TwRt *rt, const TwArg *in, const TwArg *out, void *scratch);"
    if manifest.get("shapes") is None:
        lines += [
            "/* All sizes are static. */",
            f"#define {upper}_SCRATCH_BYTES {manifest.get('scratch') or 0}",
        ]
    lines += ["", f"int32_t {manifest['entry']}{entry}"]
    if manifest.get("shapes"):
        lines.append(f"int32_t {manifest['shapes']}(const TwArg *in, int64_t *out);")
    for load in manifest["loads"]:
        lines.append(f"int32_t {load['entry']}{entry}")
        if load.get("shapes"):
            lines.append(f"int32_t {load['shapes']}(const TwArg *in, int64_t *out);")
    if places:
        rows = ", ".join(f"{{{index}, {offset}, {size}}}" for index, offset, size in places)
        lines += [
            "",
            f"/* Where each weight lies in {name}.weights: {{index into in, offset, bytes}}. */",
            f"#define {upper}_WEIGHTS {len(places)}",
            f"static const int64_t {name}_weights[{len(places)}][3] = {{{rows}}};",
        ]
    lines += ["", "#ifdef __cplusplus", "}", "#endif", "", f"#endif /* {upper}_H */", ""]
    return "\n".join(lines)
