"""Compiled programs of a model, kept so that the next start needs no compiler.

`@tw.jit` in a new process still traces, and for that loads the compiler. A model's programs depend only on facts that
its file tells without tracing (sizes and formats), so they are found by those facts, through the same disk cache.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import __name__ as package
from .. import cache, runtime
from ..errors import TilewrightError
from ..runtime import features

Programs = dict[str, Any]


@functools.cache
def build_identity() -> str:
    """Return a digest that changes with any file of the installed package, compiled parts included.

    It compares sizes and times instead of content, since the compiler's library has 10^8 bytes.
    """
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256(package.encode())
    for folder, below, files in os.walk(root, followlinks=True):
        below[:] = sorted(name for name in below if name not in ("__pycache__", "include"))
        for name in sorted(files):
            if name.endswith((".py", ".so", ".mlir")) or ".so." in name:
                status = os.stat(os.path.join(folder, name))
                digest.update(f"{folder}/{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


def machine_identity() -> str:
    """Return a digest of the processor's features, which compiled code makes use of."""
    return hashlib.sha256(" ".join(sorted(features.of_this_machine())).encode()).hexdigest()[:32]


def load_or_compile(
    label: str, facts: Mapping[str, Any], compile: Callable[[], Programs], names: tuple[str, ...]
) -> tuple[Programs, bool]:
    """Return executables by name, from the cache where it has them.

    Args:
        label: what `tilewright cache ls` shows.
        facts: JSON data that the programs are determined by; build and processor are added.
        compile: makes all the executables, without weights bound.
        names: the executables that are needed.

    Returns:
        The executables, and whether they came from the cache.
    """
    store = cache.default()
    components = {"kind": "model", **facts, "build": build_identity(), "processor": machine_identity()}
    key = cache.key_of(components)
    if store is not None and (entry := store.get(key)) is not None:
        try:
            return {name: _load(entry.sections, name) for name in names}, True
        # An entry that its checksum vouches for and the loader refuses is one of another runtime: make it anew.
        except (KeyError, TilewrightError):
            store.discard(key)
    if store is not None and entry is None:
        store.log_miss(components, label)
    programs = compile()
    # What the reference interprets has no object to keep.
    if store is not None and all(hasattr(program, "object") for program in programs.values()):
        sections: dict[str, bytes] = {}
        for name, program in programs.items():
            sections[name + ".object"] = bytes(program.object)
            sections[name + ".manifest"] = program.manifest_json.encode()
            if program.device_image is not None:
                sections[name + ".image"] = program.device_image
        store.put(key, sections, components, label)
    return programs, False


def _load(sections: Mapping[str, bytes], name: str) -> Any:
    manifest = bytes(sections[name + ".manifest"]).decode()
    executable = runtime.Executable(sections[name + ".object"], manifest, name)
    if name + ".image" in sections:
        executable.set_device_image(bytes(sections[name + ".image"]))
    return executable
