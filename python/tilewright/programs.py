"""What `fn.trace`, `.lower` and `.compile` return: a traced program, a program for a target, a program that runs."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import config, errors, explain, places, pytree
from .pytree import TreeDef

if TYPE_CHECKING:
    from .trace import Argument, Output, Program

__all__ = ["Compiled", "Lowered", "Traced", "key_components", "load", "to_bytecode"]

_log = logging.getLogger("tilewright.compile")
_fusion_log = logging.getLogger("tilewright.fusion")


class Traced:
    """A function as a program, before any target is chosen.

    Attributes:
        program: the module, with the names, trees and captured arrays around it.
    """

    def __init__(self, program: Program, default_target: str | None = None):
        self.program = program
        self._default_target = default_target

    @property
    def name(self) -> str:
        """Name of the function."""
        return self.program.name

    @property
    def module(self) -> Any:
        """The `ir.Module` at stage `traced`."""
        return self.program.module

    @property
    def arguments(self) -> list[Argument]:
        """The tensor arguments, in order."""
        return self.program.arguments

    @property
    def outputs(self) -> list[Output]:
        """Shape and dtype of the results, in order."""
        return self.program.outputs

    def as_text(self, stage: str = "traced", *, locations: bool = False) -> str:
        """Render the program; a later stage is that of `lower()`."""
        return self.program.as_text(locations) if stage == "traced" else self.lower().as_text(stage)

    @errors.trim_traceback
    def lower(self, target: str | None = None) -> Lowered:
        """Choose a target.

        Args:
            target: its name; None for that of `tw.jit`, or the configured one.

        Raises:
            ArgumentError: there is no such target.
        """
        return Lowered(self.program, target or self._default_target)

    def __repr__(self) -> str:
        return f"<Traced {_signature(self.program)}>"


def _signature(program: Program) -> str:
    arguments = ", ".join(f"{a.name}: {a.spec}" for a in program.arguments if not a.weight)
    return f"{program.name}({arguments}) -> ({', '.join(map(str, program.outputs))})"


class Lowered:
    """A program and the target it is for. Stages are computed when asked for.

    Attributes:
        program: as traced.
        target: name of the target.
    """

    def __init__(self, program: Program, target: str | None = None):
        from .targets import base

        settings = config.current()
        self.program = program
        self.target = "interp" if settings.disable_jit else target or settings.target
        self._target = base.find(self.target)

    @property
    def name(self) -> str:
        """Name of the function."""
        return self.program.name

    @property
    def interprets(self) -> bool:
        """Whether the target runs the traced program instead of compiling it."""
        return bool(getattr(self._target, "interprets", False))

    @errors.trim_traceback
    def as_text(self, stage: str = "traced", *, locations: bool = False) -> str:
        """Render the program at a stage: traced, tensor, linalg, kernels, tiled, vector, buffers, target, llvm.

        Args:
            stage: its name; "object" gives assembly where the target has it.
            locations: whether the lines of the user's code are shown.

        Raises:
            ArgumentError: there is no such stage.
            LoweringError: a pass refused.
        """
        if stage == "traced":
            return self.program.as_text(locations)
        from . import pipeline, stages

        known = [*stages.NAMES, "object"]
        if stage not in known or self.interprets:
            known = ["traced"] if self.interprets else known
            errors.fail(
                errors.ArgumentError,
                f"as_text: there is no stage {stage!r} for target {self.target}",
                help=f"stages: {', '.join(known)}.",
            )
        options = _options(self.program, self.target)
        last = "llvm" if stage == "object" else stage
        module = pipeline.lower(self.program.module, self._target, last, options)
        if stage == "object":
            with module.context:
                return self._target.assembly(module, options.opt_level)
        return module.operation.get_asm(enable_debug_info=locations)

    @errors.trim_traceback
    def compile(self) -> Compiled:
        """Compile, or find what was compiled before in the disk cache.

        Raises:
            LoweringError: a pass refused, with the user's line and a reproducer.
        """
        program = self.program
        if self.interprets:
            executable: Any = self._target.executable(program)
        else:
            executable = _executable(program, self._target, self.target)
        if program.constants:
            executable = executable.bind(program.constants)
        return Compiled(executable, program.in_tree, program.out_tree, program.name, self)

    def cost_analysis(self) -> dict[str, Any]:
        """Return flops and bytes accessed, as `Compiled.cost_analysis` does."""
        return self.compile().cost_analysis()

    def explain(self) -> str:
        """Say how it is compiled, as `Compiled.explain` does."""
        return self.compile().explain()

    def __repr__(self) -> str:
        return f"<Lowered for {self.target}: {_signature(self.program)}>"


def _options(program: Program, target: str) -> Any:
    from . import pipeline

    settings = config.current()
    if settings.dump is None and settings.override is None:
        return pipeline.Options(target=target)
    # A folder for each program: its name for people, its content to tell programs of one name apart.
    folder = f"{_plain(program.name)}-{_digest(program.as_text())[:8]}"
    dump, override = (
        None if root is None else os.fspath(root / folder) for root in (settings.dump, settings.override)
    )
    return pipeline.Options(target=target, dump=dump, override=override)


def _plain(name: str) -> str:
    """A name that files and C functions can have."""
    return "".join(c if c.isalnum() else "_" for c in name)


def key_components(program: Program, target: Any, name: str) -> dict[str, Any]:
    """Return everything that compiled code depends on; a difference in any of it is another cache entry."""
    from . import pipeline, stages
    from ._mlir._mlir_libs import _tilewright

    options = pipeline.Options(target=name)
    # `select` and the manifest are Python: what they decide is in the code, too.
    order = "\n".join(f"{stage.name}: {stages.pipeline_text(stage)}" for stage in stages.STAGES[1:])
    return {
        "program": _digest(program.as_text()),
        "pipeline": _digest(order),
        "select": _python_digest(),
        "build": _tilewright.toolchain_build(),
        **target.key(),
        "opt_level": options.opt_level,
    }


@functools.cache
def _python_digest() -> str:
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted([*here.glob("targets/**/*.py"), here / "manifest.py", here / "stages.py"]):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def to_bytecode(module: Any) -> bytes:
    """Write a module as MLIR bytecode."""
    file = io.BytesIO()
    module.operation.write_bytecode(file)
    return file.getvalue()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _executable(program: Program, target: Any, name: str) -> Any:
    from . import cache, runtime

    store = cache.default()
    components = key_components(program, target, name)
    key = cache.key_of(components)
    options = _options(program, name)
    # A dump asks to see the stages, so they have to run; what a person edited is nobody else's.
    if options.override is not None:
        store = None
    if store is not None and options.dump is None:
        entry = store.get(key)
        if entry is not None:
            try:
                manifest = entry.sections["manifest"].decode()
                manifest = places.relocate(
                    manifest, entry.sections["places"], places.of_module(program.module)
                )
                return runtime.Executable(entry.sections["object"], manifest, program.name)
            except (KeyError, ValueError, errors.TilewrightError) as problem:
                errors.warn(errors.CacheWarning, f"cache: entry {key[:16]} is of no use: {problem}")
                store.discard(key)
    from . import pipeline

    started = time.perf_counter()
    code, manifest = pipeline.compile(program.module, target, options)
    _log.info("compiled %s in %.0f ms", program.name, 1e3 * (time.perf_counter() - started))
    for kernel in manifest["kernels"]:
        _fusion_log.info(
            "%s: %s: %s", program.name, kernel["name"], " + ".join(op["kind"] for op in kernel["ops"])
        )
        for reason in kernel["unfused"]:
            _fusion_log.info("%s: %s: not fused: %s", program.name, kernel["name"], reason)
    text = json.dumps(manifest)
    if store is not None:
        sections = {"object": code, "manifest": text.encode()}
        sections["places"] = places.dumps(places.of_module(program.module))
        store.put(key, sections, components, program.name)
    return runtime.Executable(code, text, program.name)


class Compiled:
    """A program that runs.

    Call it like the function it came from, without static arguments and without weights that are bound.

    Attributes:
        executable: the code with its manifest.
        name: of the function.
    """

    def __init__(
        self,
        executable: Any,
        in_tree: TreeDef | None,
        out_tree: TreeDef,
        name: str,
        lowered: Lowered | None = None,
        bytecode: bytes | None = None,
    ):
        self.executable = executable
        self.in_tree = in_tree
        self.out_tree = out_tree
        self.name = name
        self._lowered = lowered
        self._bytecode = bytecode

    @errors.trim_traceback
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, tree = pytree.flatten((args, kwargs))
        if self.in_tree is not None and tree != self.in_tree:
            self._refuse(tree, leaves)
        return pytree.unflatten(self.out_tree, self.executable.call_tuple(*leaves))

    def _refuse(self, tree: TreeDef, leaves: list[Any]) -> None:
        assert self.in_tree is not None
        expected = [a["name"] for a in self.executable.manifest["args"] if a["kind"] != "weight"]
        errors.fail(
            errors.ArgumentError,
            f"{self.name}: compiled for arguments {_shown(self.in_tree)}, called with {_shown(tree)}",
            help=f"it takes {', '.join(expected) or 'no arguments'}; static arguments are left out.",
        )

    @property
    def manifest(self) -> dict[str, Any]:
        """What the runtime knows about the object."""
        return self.executable.manifest

    @errors.trim_traceback
    def bind(self, weights: Any) -> Compiled:
        """Bind weights once.

        Args:
            weights: arrays by weight name, or the tree that was passed as the weight argument.

        Returns:
            A program that takes only the other arguments, without the weight arguments.

        Raises:
            ArgumentError: a weight is missing.
            ShapeError, DTypeError: a weight differs from what the program was compiled for.
        """
        named = weights
        flat_names = isinstance(weights, Mapping) and all(hasattr(w, "dtype") for w in weights.values())
        if not flat_names or not _covers(self.executable, weights):
            _, _, names = pytree.flatten_with_names(weights)
            leaves = pytree.flatten(weights)[0]
            named = dict(zip(names, leaves, strict=True))
            wanted = [a["weight"] for a in self.executable.manifest["args"] if a["kind"] == "weight"]
            wanted += [s for a in self.executable.manifest["args"] for s in a.get("sources") or ()]
            # The tree is one argument: its leaves are known to the program below that argument's name.
            roots = {name.split(".", 1)[0] for name in wanted if name}
            named.update({f"{root}.{n}" if n else root: x for root in roots for n, x in list(named.items())})
        bound = self.executable.bind(named)
        return Compiled(bound, self._without_weights(), self.out_tree, self.name, self._lowered)

    def _without_weights(self) -> TreeDef | None:
        program = self._lowered.program if self._lowered is not None else None
        if program is None or self.in_tree is None:
            return None
        # Weight arguments are whole parameters: what is left of the positional ones keeps its order.
        positional, named = self.in_tree.children
        kept, position = [], 0
        for child in positional.children:
            part = program.arguments[position : position + child.leaf_count]
            position += child.leaf_count
            if not (part and all(a.weight for a in part)):
                kept.append(child)
        return TreeDef("tuple", (TreeDef("tuple", tuple(kept)), named))

    def as_text(self, stage: str = "traced", *, locations: bool = False) -> str:
        """Render the program at a stage, as `Lowered.as_text`.

        Raises:
            ArgumentError: it was loaded from a file without the traced program.
        """
        return self.lowered.as_text(stage, locations=locations)

    @property
    def lowered(self) -> Lowered:
        """What it was compiled from.

        Raises:
            ArgumentError: it was loaded from a file without the traced program.
        """
        return self._lowered if self._lowered is not None else self._revived()

    def _revived(self) -> Lowered:
        from .mlir import mlir
        from .trace import Program

        if not self._bytecode:
            errors.fail(errors.ArgumentError, f"as_text: {self.name} was saved without its IR")
        module = mlir().ir.Module.parse(self._bytecode, mlir().context)
        tree = self.in_tree or self.out_tree
        program = Program(self.name, module, [], [], tree, self.out_tree)
        return Lowered(program, self.manifest.get("target"))

    def cost_analysis(self) -> dict[str, float | None]:
        """Return `flops` and `bytes accessed` of a call; None where sizes are dynamic."""
        return explain.cost(self.manifest)

    def memory_analysis(self) -> dict[str, Any]:
        """Return bytes of arguments, weights, outputs and scratch memory; None where sizes are dynamic."""
        return explain.memory(self.manifest)

    def explain(self) -> str:
        """Say, kernel by kernel, what was fused, how it is tiled and why, and what it costs."""
        return explain.explain(self.name, self.manifest)

    @errors.trim_traceback
    def save(self, path: str | os.PathLike[str], *, include_weights: bool = True) -> None:
        """Save code, manifest, traced program and bound weights in one file that `tw.load` reads.

        Raises:
            OSError: the file cannot be written.
            UnsupportedOpError: the target `interp` has no code to save.
        """
        from .runtime import artifact

        self._need_code("save")
        info = {
            "name": self.name,
            "in_tree": None if self.in_tree is None else self.in_tree.to_json(),
            "out_tree": self.out_tree.to_json(),
        }
        bytecode = self._bytecode
        if self._lowered is not None:
            bytecode = to_bytecode(self._lowered.program.module)
        program = artifact.Program(self.executable, bytecode, info)
        artifact.save(path, {"main": program}, include_weights=include_weights)

    @errors.trim_traceback
    def export(self, directory: str | os.PathLike[str], name: str | None = None) -> list[Any]:
        """Write object, C header and manifest for programs without Python; see `tilewright.runtime.export`.

        Returns:
            The files.
        """
        from .runtime import export

        self._need_code("export")
        return export.export(self.executable, directory, name or _plain(self.name))

    def _need_code(self, what: str) -> None:
        if not hasattr(self.executable, "object"):
            errors.fail(
                errors.UnsupportedOpError,
                f"{what}: target interp has no compiled code",
                help="use target='cpu'.",
            )

    def __repr__(self) -> str:
        arguments = ", ".join(_show(a) for a in self.manifest["args"] if a["kind"] != "weight")
        return f"<Compiled {self.name}({arguments}) -> ({', '.join(map(_show, self.manifest['outputs']))})>"


def _covers(executable: Any, weights: Mapping[str, Any]) -> bool:
    wanted: set[str] = set()
    for a in executable.manifest["args"]:
        if a["kind"] == "weight":
            wanted.update(a.get("sources") or [a["weight"]])
    return wanted <= set(weights)


def _shown(tree: TreeDef) -> str:
    positional, named = tree.children
    parts = [repr(child) for child in positional.children]
    parts += [f"{key}={child!r}" for key, child in zip(named.keys, named.children, strict=True)]
    return f"({', '.join(parts)})"


def _show(entry: Mapping[str, Any]) -> str:
    shape = ", ".join("?" if size is None else str(size) for size in entry["shape"])
    return f"{entry['name']}: {entry['dtype']}[{shape}]" if "name" in entry else f"{entry['dtype']}[{shape}]"


@errors.trim_traceback
def load(path: str | os.PathLike[str]) -> Any:
    """Load a program that `compiled.save` wrote; needs no compiler.

    Args:
        path: the file. Objects in it are machine code: load files of people you trust.

    Returns:
        A `Compiled`; for a file of several programs the `Artifact` that holds them by name.

    Raises:
        FormatError: the file is damaged or of another version.
        DeviceError: it needs processor features that this machine lacks.
        OSError: it cannot be opened.

    Example:
        >>> program = tw.load("program.tw")  # doctest: +SKIP
    """
    return _load(path)


@errors.trim_traceback
def _load(path: str | os.PathLike[str]) -> Any:
    from .runtime import artifact

    loaded = artifact.load(path)
    if list(loaded) != ["main"] or "out_tree" not in loaded.program_info["main"]:
        return loaded
    info = loaded.program_info["main"]
    in_tree = None if info["in_tree"] is None else TreeDef.from_json(info["in_tree"])
    return Compiled(loaded["main"], in_tree, TreeDef.from_json(info["out_tree"]), str(info.get("name", "main")),
                    bytecode=loaded.bytecode("main"))  # fmt: skip
