"""Saved programs: `compiled.save(path)`, `tilewright.load(path)`.

One file holds one or several named programs (prefill and decode of a model), each with its object and manifest, what
they were traced from, and, if wanted, the weights bound to them, already packed. Loading maps the file, checks and
links the objects and needs no compiler; weights are used where they are mapped.

No part of the file is pickled: it has JSON, bytes and one object per program, each with a checksum. Objects are machine
code all the same: load files of people you trust.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import _runtime, dtypes, errors
from . import container, features

__all__ = ["Artifact", "FileArray", "Program", "load", "save"]

_MAGIC = b"TWARTIF\n"
_VERSION = 1
# Weights lie on page boundaries: pages of one weight hold nothing of another.
_PAGE = 4096
# Up to this size all weights are verified when a file is loaded; above, on request.
_VERIFY_LIMIT = 16 << 20


class FileArray(NamedTuple):
    """A weight that stays in a file of its own (a GGUF file, say) and is mapped from there.

    Args:
        path: the file; a relative path counts from the folder of the saved program.
        offset: where the elements begin, in bytes.
        dtype: name of the element type.
        shape: sizes; the elements lie in row-major order.
        file_size: size of the whole file, compared when loading; None is not compared.
    """

    path: str
    offset: int
    dtype: str
    shape: tuple[int, ...]
    file_size: int | None = None

    def open(self, folder: Path) -> np.ndarray:
        """Map the array.

        Raises:
            FormatError: the file is missing, differs in size or is too short.
        """
        path = folder / self.path
        dtype = dtypes.by_name(self.dtype).numpy
        count = int(np.prod(self.shape, dtype=object))
        try:
            size = path.stat().st_size
            if self.file_size is not None and size != self.file_size:
                raise errors.FormatError(
                    f"load: weights {path} have {size} bytes, not the {self.file_size} they had when the program "
                    "was saved",
                    help="restore the file, or save the program again.",
                )
            if self.offset < 0 or self.offset + count * dtype.itemsize > size:
                raise errors.FormatError(f"load: weights {path} end before the array at {self.offset}")
            if count == 0:
                return np.empty(self.shape, dtype)
            return np.memmap(path, dtype, "r", self.offset, self.shape)
        except OSError as problem:
            raise errors.FormatError(f"load: cannot read weights {path}: {problem.strerror}") from None


class Program(NamedTuple):
    """What `save` takes for each program.

    Args:
        executable: the code, with or without weights bound.
        bytecode: the program as traced, for `as_text` and recompilation; opaque here.
        info: JSON data for the caller (trees of inputs and outputs, reports).
    """

    executable: _runtime.Executable
    bytecode: bytes | None = None
    info: Mapping[str, Any] | None = None


class _Arrays:
    """The arrays of a file being written; each memory is stored once."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.sections: list[container.Section] = []
        self._known: dict[Any, int] = {}

    def add(self, value: Any) -> int:
        if isinstance(value, FileArray):
            self.rows.append({"file": value._asdict()})
            return len(self.rows) - 1
        memory = (
            value.__array_interface__ if isinstance(value, np.ndarray) else value.__cuda_array_interface__
        )
        key = (isinstance(value, np.ndarray), memory["data"][0], str(value.dtype), tuple(value.shape))
        if key not in self._known:
            if not isinstance(value, np.ndarray):
                from . import devices

                value = devices.host_copy(value)
            name = f"array{len(self.rows)}"
            self.rows.append({"section": name, "dtype": value.dtype.name, "shape": list(value.shape)})
            raw = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
            self.sections.append(container.Section(name, raw, _PAGE))
            self._known[key] = len(self.rows) - 1
        return self._known[key]


def save(
    path: str | os.PathLike[str],
    programs: Mapping[str, Program | _runtime.Executable],
    *,
    weights: Mapping[str, FileArray | np.ndarray] | None = None,
    include_weights: bool = True,
    info: Mapping[str, Any] | None = None,
) -> None:
    """Save programs in one file.

    Args:
        path: the file; an existing one is replaced once the new one is complete.
        programs: the programs by name; "main" for one alone. Weights bound to them are stored, shared ones once.
        weights: further arrays by name, stored or, as `FileArray`, referred to. A bound weight that is named here as
            a `FileArray` and is not packed is referred to instead of stored.
        include_weights: False stores no bound weights: the loaded programs wait for `bind`.
        info: JSON data for the caller.

    Raises:
        OSError: the file cannot be written.
    """
    arrays = _Arrays()
    named = dict(weights or {})
    sections: list[container.Section] = []
    entries: dict[str, Any] = {}
    for name, value in programs.items():
        program = value if isinstance(value, Program) else Program(value)
        executable = program.executable
        entry: dict[str, Any] = {"object": f"{name}/object", "manifest": f"{name}/manifest", "bound": {}}
        sections.append(container.Section(entry["object"], executable.object))
        sections.append(container.Section(entry["manifest"], executable.manifest_json.encode()))
        if executable.device_image is not None:
            entry["image"] = f"{name}/image"
            sections.append(container.Section(entry["image"], executable.device_image))
        if program.bytecode is not None:
            entry["bytecode"] = f"{name}/bytecode"
            sections.append(container.Section(entry["bytecode"], program.bytecode))
        entry["info"] = dict(program.info or {})
        if include_weights:
            specs = executable.manifest["args"]
            for index, array in executable.bound_arrays().items():
                reference = named.get(specs[index].get("weight") or specs[index]["name"])
                packed = specs[index].get("packed_by") is not None
                use = reference if isinstance(reference, FileArray) and not packed else array
                entry["bound"][str(index)] = arrays.add(use)
        entries[name] = entry
    stored = {name: arrays.add(value) for name, value in named.items()} if include_weights else {}
    meta = {"programs": entries, "arrays": arrays.rows, "weights": stored, "info": dict(info or {})}
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            container.write(file, _MAGIC, _VERSION, meta, [*sections, *arrays.sections])
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


class Artifact:
    """Loaded programs.

    Attributes:
        path: the file.
        executables: the programs by name, with their weights bound if the file has them.
        weights: the named arrays of the file, mapped read-only.
        program_info: the JSON data of each program.
        info: the JSON data of the file.
    """

    def __init__(
        self,
        path: Path,
        executables: Mapping[str, _runtime.Executable],
        weights: Mapping[str, np.ndarray],
        program_info: Mapping[str, Mapping[str, Any]],
        info: Mapping[str, Any],
        file: container.Container,
        bytecode: Mapping[str, str | None],
    ):
        self.path = path
        self.executables = executables
        self.weights = weights
        self.program_info = program_info
        self.info = info
        self._file = file
        self._bytecode = bytecode

    def bytecode(self, name: str = "main") -> bytes | None:
        """Return what a program was traced from, if it was saved with it.

        Raises:
            FormatError: that part of the file is damaged.
        """
        section = self._bytecode[name]
        return None if section is None else bytes(self._file.section(section))

    @errors.trim_traceback
    def bind(self, weights: Mapping[str, Any]) -> Artifact:
        """Return the programs with weights bound; see `tilewright.runtime.weights.bind`."""
        bound = {name: executable.bind(weights) for name, executable in self.executables.items()}
        return Artifact(
            self.path, bound, self.weights, self.program_info, self.info, self._file, self._bytecode
        )

    @errors.trim_traceback
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the program "main", or the only one."""
        if len(self.executables) != 1 and "main" not in self.executables:
            errors.fail(
                errors.ArgumentError,
                f"call: {self.path.name} holds several programs ({', '.join(self.executables)})",
                help="pick one: loaded['name'](…).",
            )
        name = "main" if "main" in self.executables else next(iter(self.executables))
        return self.executables[name](*args, **kwargs)

    def __getitem__(self, name: str) -> _runtime.Executable:
        if name not in self.executables:
            hint = errors.did_you_mean(name, self.executables) or f"it holds {', '.join(self.executables)}."
            errors.fail(errors.ArgumentError, f"load: {self.path.name} holds no program {name!r}", help=hint)
        return self.executables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.executables)


@errors.trim_traceback
def load(path: str | os.PathLike[str], *, verify: bool | None = None) -> Artifact:
    """Load saved programs.

    Args:
        path: the file.
        verify: whether the checksums of weights are compared, which reads them all; by default for files with at most
            16 MiB of weights. Code and manifests are always verified.

    Returns:
        The programs. Weights stay mapped from the file: do not write to it (replacing it is fine).

    Raises:
        FormatError: the file is damaged, or of another version.
        DeviceError: it was compiled for processor features that this machine lacks.
        OSError: it cannot be opened.
    """
    file = container.read(path, _MAGIC, _VERSION, "saved program")
    what = f"saved program {os.fspath(path)}"
    reader = _Reader(file, Path(path).parent, what, verify)
    try:
        return reader.artifact(Path(path))
    except (
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        ValueError,
        OverflowError,
        RecursionError,
    ) as problem:
        if isinstance(problem, errors.TilewrightError):
            raise
        raise errors.FormatError(f"{what}: its table of contents makes no sense ({problem})") from None


class _Reader:
    """Turns an open container into an `Artifact`; whatever raises in here means a damaged file."""

    def __init__(self, file: container.Container, folder: Path, what: str, verify: bool | None):
        self.file = file
        self.folder = folder
        self.what = what
        rows = file.meta["arrays"] if isinstance(file.meta.get("arrays"), list) else []
        sizes = [file.size(row["section"]) for row in rows if isinstance(row, dict) and "section" in row]
        self.verify = sum(sizes) <= _VERIFY_LIMIT if verify is None else verify
        self._opened: dict[int, np.ndarray] = {}

    def artifact(self, path: Path) -> Artifact:
        meta = self.file.meta
        executables, infos, bytecode = {}, {}, {}
        for name, entry in meta["programs"].items():
            executables[name] = self._executable(name, entry)
            infos[name] = dict(entry.get("info") or {})
            bytecode[name] = entry.get("bytecode")
            if bytecode[name] is not None:
                self.file.size(bytecode[name])
        stored = {str(name): self._array(index) for name, index in meta["weights"].items()}
        return Artifact(path, executables, stored, infos, dict(meta["info"]), self.file, bytecode)

    def _executable(self, name: str, entry: dict[str, Any]) -> _runtime.Executable:
        text = bytes(self.file.section(entry["manifest"])).decode()
        features.require(json.loads(text), self.what)
        executable = _runtime.Executable(
            self.file.section(entry["object"]), text, str((entry.get("info") or {}).get("name", name))
        )
        if "image" in entry:
            executable.set_device_image(bytes(self.file.section(entry["image"])))
        arrays = {int(index): self._array(array) for index, array in entry["bound"].items()}
        return executable.bind_arrays(arrays) if arrays else executable

    def _array(self, index: Any) -> np.ndarray:
        if type(index) is not int or not 0 <= index < len(self.file.meta["arrays"]):
            raise errors.FormatError(f"{self.what}: there is no array {index!r}")
        if index not in self._opened:
            self._opened[index] = self._open(self.file.meta["arrays"][index])
        return self._opened[index]

    def _open(self, row: dict[str, Any]) -> np.ndarray:
        if "file" in row:
            fields = row["file"]
            return FileArray(**{**fields, "shape": _shape(fields["shape"])}).open(self.folder)
        dtype, shape = dtypes.by_name(row["dtype"]).numpy, _shape(row["shape"])
        size = self.file.size(row["section"])
        if int(np.prod(shape, dtype=object)) * dtype.itemsize != size:
            raise errors.FormatError(
                f"{self.what}: array {row['section']!r} does not have the size of its shape"
            )
        data = self.file.section(row["section"], verify=self.verify)
        return np.frombuffer(data, dtype).reshape(shape) if size else np.empty(shape, dtype)


def _shape(sizes: Sequence[Any]) -> tuple[int, ...]:
    if (
        not isinstance(sizes, list)
        or len(sizes) > 32
        or not all(type(n) is int and 0 <= n < 2**48 for n in sizes)
    ):
        raise errors.FormatError(f"saved program: {sizes!r} is no shape")
    return tuple(sizes)
