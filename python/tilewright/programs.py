"""A program on its way: `Traced` (what was written), `Lowered` (any stage of it), `Compiled` (code that runs)."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


from . import cache, config, errors, pipeline, pytree, stages
from .explain import cost, explain, memory

_log = logging.getLogger("tilewright.compile")


@dataclass
class Traced:
    """A function as a module at stage `traced`.

    Attributes:
        name: The function's name.
        result: The module, the trees of inputs and outputs, the arguments (see `tilewright.trace.Result`).
        target: Name of the target that `lower` uses.
    """

    name: str
    result: Any
    target: str = "cpu"

    @property
    def module(self) -> Any:
        """The module at stage `traced`."""
        return self.result.module

    def as_text(self, stage: str = "traced", *, locations: bool = False) -> str:
        """Return the IR of a stage as text; stages after `traced` are computed for the target.

        Raises:
            ValueError: If the stage is unknown.
        """
        return self.lower().as_text(stage, locations=locations)

    def lower(self, target: str | None = None) -> Lowered:
        """Return the program for a target; stages are computed when they are asked for."""
        return Lowered(self, target or self.target)

    def __repr__(self) -> str:
        return f"<Traced {self.name}({', '.join(a.name for a in self.result.arguments)})>"


@dataclass
class Lowered:
    """A program for a target, at whichever stage one looks at.

    Example:
        >>> import tilewright as tw
        >>> f = tw.jit(lambda x: x + 1)
        >>> "tw.add" in f.lower(tw.spec((4,), "float32")).as_text()
        True
    """

    traced: Traced
    target: str
    report: pipeline.Report = field(default_factory=pipeline.Report)

    def module(self, stage: str) -> Any:
        """Return a module at a stage."""
        if stage == "traced":
            return self.traced.module
        return pipeline.lower(self.traced.module, self.target, stage, _options(), self.report)

    def as_text(self, stage: str = "traced", *, locations: bool = False) -> str:
        """Return the IR of a stage as text.

        Args:
            stage: A name of `tilewright.stages.NAMES`, or `object` for the assembly.
            locations: Print the user's lines, too.

        Raises:
            ValueError: If the stage is unknown.
        """
        if stage == "object":
            from .targets import base

            return base.find(self.target).assembly(self.module(stages.NAMES[-1]), _options().opt_level)
        if stage not in stages.NAMES:
            raise ValueError(f"unknown stage {stage!r}; stages are {', '.join(stages.NAMES)}, object")
        return self.module(stage).operation.get_asm(enable_debug_info=locations)

    def compile(self) -> Compiled:
        """Compile, or take the code from the disk cache.

        Raises:
            LoweringError: If a pass refuses.
        """
        code, manifest = _compile(self.traced, self.target, self.report)
        return Compiled.make(self.traced, self.target, code, manifest)

    def cost_analysis(self) -> dict[str, float | None]:
        """Return flops and bytes accessed, as in `Compiled.cost_analysis`."""
        return self.compile().cost_analysis()

    def __repr__(self) -> str:
        return f"<Lowered {self.traced.name} for {self.target}>"


class Compiled:
    """Code that runs, with its weights bound or not.

    Calling it takes the arguments of the function without static ones and weights, and returns what the function
    returned when it was traced, as arrays of the caller's kind.
    """

    def __init__(self, name: str, executable: Any, info: Mapping[str, Any], bytecode: bytes | None = None):
        self.name = name
        self.executable = executable
        self.info = dict(info)
        self._bytecode = bytecode
        self._in_tree = pytree.TreeDef.from_json(info["in_tree"])
        self._out_tree = pytree.TreeDef.from_json(info["out_tree"])
        self._inputs = tuple(info["inputs"])
        self._tuple = executable.call_tuple

    @classmethod
    def make(cls, traced: Traced, target: str, code: bytes, manifest: dict[str, Any]) -> Compiled:
        """Load code; arrays that the function captured are bound at once."""
        if target == "interp":
            from .targets import base

            executable = base.find(target).executable(traced)
        else:
            from . import runtime

            executable = runtime.Executable(code, manifest)
        if traced.result.constants and not _weights_of(traced.result):
            executable = executable.bind(traced.result.constants)
        compiled = cls(traced.name, executable, _info(traced, target), None)
        compiled._live = traced
        return compiled

    _live: Traced | None = None

    @property
    def manifest(self) -> dict[str, Any]:
        """What the object takes, returns and contains, as plain data."""
        return self.executable.manifest

    def bind(self, weights: Any) -> Compiled:
        """Bind weights.

        Args:
            weights: The tree of the weight arguments (one tree, or a tuple of them where there are several), or a dict
                from weight names to arrays.

        Returns:
            The same code taking only the other arguments; packed weights are shared between programs.

        Raises:
            ArgumentError: If a weight is missing.
            ShapeError, DTypeError: If one differs from what the program was compiled for.
        """
        names = self.info["weights"]
        if isinstance(weights, Mapping) and set(names) <= set(weights):
            by_name = dict(weights)
        else:
            leaves, _ = pytree.flatten(weights)
            if len(leaves) != len(names):
                errors.fail(
                    errors.ArgumentError, f"bind: {len(leaves)} weights given, the program has {len(names)}",
                    help="pass the tree that the function was traced with",
                )
            by_name = dict(zip(names, leaves, strict=True))
        constants = self._live.result.constants if self._live is not None else {}
        bound = Compiled(self.name, self.executable.bind({**constants, **by_name}), self.info, self._bytecode)
        bound._live = self._live
        return bound

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, tree = pytree.flatten((args, kwargs))
        if tree != self._in_tree:
            self._fail_tree(tree)
        return pytree.unflatten(self._out_tree, self._tuple(*leaves))

    def _fail_tree(self, tree: Any) -> None:
        errors.fail(
            errors.ArgumentError,
            f"{self.name}: compiled for arguments {self._in_tree!r}, called with {tree!r} (* is an array)",
            help="pass the arguments in the structure that the function was traced with",
        )

    def as_text(self, stage: str = "traced") -> str:
        """Return the IR of a stage as text (the program is lowered again for it).

        Raises:
            ArgumentError: If the program was saved without its IR.
        """
        return self._lowered().as_text(stage)

    def _lowered(self) -> Lowered:
        if self._live is None:
            if self._bytecode is None:
                errors.fail(errors.ArgumentError, f"{self.name}: was saved without its IR")
            self._live = _revive(self.name, self._bytecode, self.info)
        return self._live.lower(self.info["target"])

    def cost_analysis(self) -> dict[str, float | None]:
        """Return `flops` and `bytes accessed` of one call; None where they depend on dynamic sizes."""
        return cost(self.manifest)

    def memory_analysis(self) -> dict[str, int | None]:
        """Return bytes of arguments, outputs, weights and temporaries; None where they depend on dynamic sizes."""
        return memory(self.manifest)

    def explain(self) -> str:
        """Say for each kernel what is in it, how it is tiled and why, and what was not fused and why."""
        return explain(self.name, self.manifest)

    def save(self, path: str | os.PathLike[str], *, include_weights: bool = True) -> None:
        """Save the program, its code and its weights in one file that `tilewright.load` reads without a compiler."""
        from . import runtime
        from .runtime.artifact import Program

        program = Program(self.executable, self.bytecode(), {**self.info, "name": self.name})
        runtime.save(path, {"main": program}, include_weights=include_weights)

    def export(self, folder: str | os.PathLike[str]) -> None:
        """Write the object, a C header, the manifest and a small C runtime, to be called without Python."""
        from .runtime.export import export

        export(self.executable, folder, name=self.name)

    def bytecode(self) -> bytes:
        """Return the traced program as MLIR bytecode."""
        if self._bytecode is None and self._live is not None:
            self._bytecode = to_bytecode(self._live.module)
        return self._bytecode or b""

    def __repr__(self) -> str:
        return f"<Compiled {self.name} for {self.info['target']}>"


def load(path: str | os.PathLike[str]) -> Compiled | Any:
    """Load what `Compiled.save` wrote; no compiler is needed or imported.

    Returns:
        The program, or an `Artifact` if the file holds several.

    Raises:
        FormatError: If the file is damaged, of another version, or for another CPU.
    """
    from . import runtime

    artifact = runtime.load(path)
    if list(artifact) != ["main"] or "in_tree" not in artifact.program_info["main"]:
        return artifact
    info = artifact.program_info["main"]
    return Compiled(info.get("name", "main"), artifact["main"], info, artifact.bytecode("main"))


def to_bytecode(module: Any) -> bytes:
    """Return a module as MLIR bytecode."""
    import io

    stream = io.BytesIO()
    module.operation.write_bytecode(stream)
    return stream.getvalue()


def _revive(name: str, bytecode: bytes, info: Mapping[str, Any]) -> Traced:
    from types import SimpleNamespace

    from .mlir import mlir

    module = mlir().ir.Module.parse(bytecode, mlir().context)
    return Traced(name, SimpleNamespace(module=module, arguments=(), constants={}), info["target"])


def _options() -> pipeline.Options:
    settings = config.current()
    dump = settings.dump
    return pipeline.Options(dump=str(dump) if dump else None)


def _weights_of(result: Any) -> list[Any]:
    return [a for a in result.arguments if a.kind == "weight"]


def _info(traced: Traced, target: str) -> dict[str, Any]:
    result = traced.result
    return {
        "target": target,
        "in_tree": _without_weights(result).to_json(),
        "out_tree": result.out_tree.to_json(),
        "inputs": [a.name for a in result.arguments if a.kind == "input"],
        "weights": [a.name for a in _weights_of(result)],
    }


def _without_weights(result: Any) -> Any:
    """The tree of the arguments that a call still takes once weights are bound."""
    return result.input_tree if hasattr(result, "input_tree") else result.in_tree


def key_components(traced: Traced, target: str, options: pipeline.Options) -> dict[str, Any]:
    """Return everything that compiled code depends on, by name."""
    from ._mlir._mlir_libs import _tilewright
    from .targets import base

    program = traced.module.operation.get_asm(enable_debug_info=False)
    lines = ";".join(stages.pipeline_text(s) for s in stages.STAGES if s.passes)
    return {
        "program": hashlib.sha256(program.encode()).hexdigest(),
        "pipeline": hashlib.sha256(lines.encode()).hexdigest(),
        "build": _tilewright.toolchain_build(),
        "select": _python_digest(),
        "opt_level": options.opt_level,
        **base.find(target).key(),
    }


_digest: list[str] = []


def _python_digest() -> str:
    """Hash of the Python that decides about code (select, facts, manifest)."""
    if not _digest:
        from pathlib import Path

        here = Path(__file__).parent
        digest = hashlib.sha256()
        for file in sorted([*here.glob("targets/**/*.py"), here / "manifest.py", here / "stages.py"]):
            digest.update(file.read_bytes())
        _digest.append(digest.hexdigest()[:16])
    return _digest[0]


def _compile(traced: Traced, target: str, report: pipeline.Report) -> tuple[bytes, dict[str, Any]]:
    """Compile or find code in the disk cache."""
    if target == "interp":
        return b"", {}
    options = _options()
    store = None if options.dump else cache.default()
    components = key_components(traced, target, options)
    key = cache.key_of(components)
    if store is not None and (entry := store.get(key)) is not None:
        return entry.sections["object"], json.loads(entry.sections["manifest"])
    started = time.perf_counter()
    code, manifest = pipeline.compile(traced.module, target, options, report)
    _log.info("compiled %s in %.0f ms", traced.name, 1e3 * (time.perf_counter() - started))
    if store is not None:
        sections = {"object": code, "manifest": json.dumps(manifest).encode()}
        store.put(key, sections, components, label=traced.name)
    return code, manifest


