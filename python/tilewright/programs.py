"""What `fn.trace` and `.lower` return: a traced program, a program for a target; and the way to its object."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import config, errors, places
from .compiled import Compiled, plain_name

if TYPE_CHECKING:
    from .trace import Argument, Output, Program

__all__ = [
    "Lowered",
    "Traced",
    "executable_of",
    "key_components",
    "pinned",
    "to_bytecode",
]

Progress = Callable[[str, int, int], None]

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
    def compile(self, *, specialize: int = 0, progress: Progress | None = None) -> Compiled:
        """Compile, or find what was compiled before in the disk cache.

        Args:
            specialize: calls with the same sizes after which these get a variant, see `Compiled.variants`; 0 is never.
            progress: called before each stage with its name, the number of stages done and of all; not at all for what
                is found.

        Raises:
            LoweringError: a pass refused, with the user's line and a reproducer.
        """
        program = self.program
        executable = self.executable(progress)
        return Compiled(
            executable, program.in_tree, program.out_tree, program.name, self, specialize=specialize
        )

    def executable(
        self, progress: Progress | None = None, step: AbstractContextManager[Any] | None = None
    ) -> Any:
        """Return what `compile` wraps: the executable, with the arrays bound that the function captured.

        Args:
            progress: as in `compile`.
            step: as in `executable_of`.
        """
        program = self.program
        if self.interprets:
            executable: Any = self._target.executable(program)
        else:
            executable, _ = executable_of(program, self.target, step, progress)
        return executable.bind(program.constants) if program.constants else executable

    def cost_analysis(self) -> dict[str, Any]:
        """Return flops and bytes accessed, as `Compiled.cost_analysis` does."""
        return self.compile().cost_analysis()

    def explain(self) -> str:
        """Say how it is compiled, as `Compiled.explain` does."""
        return self.compile().explain()

    def __repr__(self) -> str:
        return f"<Lowered for {self.target}: {_signature(self.program)}>"


def _options(program: Program, target: str, step: Any = None) -> Any:
    from . import pipeline

    settings = config.current()
    if settings.dump is None and settings.override is None:
        return pipeline.Options(target=target, step=step)
    # A folder for each program: its name for people, its content to tell programs of one name apart.
    folder = f"{plain_name(program.name)}-{_digest(program.as_text())[:8]}"
    dump, override = (
        None if root is None else os.fspath(root / folder) for root in (settings.dump, settings.override)
    )
    return pipeline.Options(target=target, dump=dump, override=override, step=step)


def key_components(program: Program, target: Any, name: str) -> dict[str, Any]:
    """Return everything that compiled code depends on; a difference in any of it is another cache entry."""
    from . import pipeline, stages
    from ._mlir._mlir_libs import _tilewright
    from .targets import base

    options = pipeline.Options(target=name)
    # `select` and the manifest are Python: what they decide is in the code, too.
    order = "\n".join(f"{stage.name}: {stages.pipeline_text(stage)}" for stage in base.table(target)[1:])
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
    shared = [here / name for name in ("manifest.py", "pipeline.py", "places.py", "stages.py")]
    for file in sorted([*here.glob("targets/**/*.py"), *shared]):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def to_bytecode(module: Any) -> bytes:
    """Write a module as MLIR bytecode."""
    file = io.BytesIO()
    module.operation.write_bytecode(file)
    return file.getvalue()


def pinned(program: Program, bytecode: bytes, sizes: Mapping[str, int]) -> Program:
    """Give symbolic sizes one possible value.

    Args:
        program: the program.
        bytecode: its module.
        sizes: by symbol.

    Returns:
        The same program, its module in a context that no other thread knows.
    """
    from ._mlir import ir

    context = ir.Context()
    context.enable_multithreading(False)
    with context, ir.Location.unknown():
        module = ir.Module.parse(bytecode)
        for view in module.body.operations:
            op = view.operation
            if (
                op.name == "tw.dim_symbol"
                and (name := ir.StringAttr(op.attributes["sym_name"]).value) in sizes
            ):
                size = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), sizes[name])
                op.attributes["min"] = op.attributes["max"] = size
    return dataclasses.replace(program, module=module)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def executable_of(
    program: Program,
    name: str,
    step: AbstractContextManager[Any] | None = None,
    progress: Progress | None = None,
) -> tuple[Any, bool]:
    """Compile a program, or find it in the disk cache.

    Args:
        program: what to compile.
        name: of the target.
        step, progress: see `pipeline.Options`.

    Returns:
        The executable, without weights, and whether it was found.

    Raises:
        LoweringError: a pass refused.
    """
    from . import cache, runtime
    from .targets import base

    target = base.find(name)
    store = cache.default()
    options = _options(program, name, step)
    options.progress = progress
    components = key_components(program, target, name)
    key = cache.key_of(components)
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
                with step or nullcontext():
                    executable = runtime.Executable(entry.sections["object"], manifest, program.name)
                if "image" in entry.sections:
                    executable.set_device_image(bytes(entry.sections["image"]))
                return executable, True
            except (KeyError, ValueError, errors.TilewrightError) as problem:
                errors.warn(errors.CacheWarning, f"cache: entry {key[:16]} is of no use: {problem}")
                store.discard(key)
        else:
            store.log_miss(components, program.name)
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
    sections = {"object": code, "manifest": text.encode()}
    with step or nullcontext():
        executable = runtime.Executable(code, text, program.name)
    if hasattr(target, "assemble") and (image := target.assemble(executable.device_text)) is not None:
        executable.set_device_image(image)
        sections["image"] = image
    if store is not None:
        sections["places"] = places.dumps(places.of_module(program.module))
        store.put(key, sections, components, program.name)
    return executable, False
