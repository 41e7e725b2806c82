"""Runs the table of stages: verify, dump, override, time; and turns the last stage into an object and its manifest."""

from __future__ import annotations

import logging
import re
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import errors, manifest, stages
from .targets import base
from .targets.facts import KernelFacts, read

_log = logging.getLogger("tilewright.compile")


@dataclass
class Options:
    """How to lower.

    Attributes:
        target: Name of the target.
        opt_level: LLVM's optimisation level, 0 to 3.
        verify: Check each stage's promise.
        dump: Folder that receives every stage as `NN-stage.mlir`, or None.
        override: Folder whose `NN-stage.mlir` files take the place of what was computed, or None; not that of `dump`.
        step: Given by a thread whose module has a context of its own: passes then run without the interpreter's lock,
            each pipeline of passes and the code generator inside this context manager.
        progress: Called with a stage's name, the stages that are done and their number, before each stage.
    """

    target: str = "cpu"
    opt_level: int = 2
    verify: bool = True
    dump: str | None = None
    override: str | None = None
    time_passes: bool = False
    step: AbstractContextManager[Any] | None = None
    progress: Callable[[str, int, int], None] | None = None

    def begin(self, stage: str) -> None:
        """Say which stage comes now; the object is the last one."""
        if self.progress is not None:
            names = [*stages.NAMES[1:], "object"]
            self.progress(stage, names.index(stage), len(names))


@dataclass
class KernelReport:
    """One kernel: its facts, its configs, where it is called from."""

    facts: KernelFacts
    configs: list[Any]
    calls: int = 0
    lines: list[str] = field(default_factory=list)
    unfused: list[str] = field(default_factory=list)


@dataclass
class Report:
    """What happened on the way: seconds per stage (and pass, where asked for), kernels and their configs."""

    seconds: dict[str, float] = field(default_factory=dict)
    passes: list[tuple[str, str, float]] = field(default_factory=list)
    kernels: list[KernelReport] = field(default_factory=list)


def _bindings() -> Any:
    from ._mlir import ir

    return ir


def stage_of(module: Any) -> str:
    """Return the stage that a module carries; a module without one counts as `traced`."""
    ir = _bindings()
    attributes = module.operation.attributes
    return ir.StringAttr(attributes["tw.stage"]).value if "tw.stage" in attributes else "traced"


def _stamp(module: Any, name: str) -> None:
    module.operation.attributes["tw.stage"] = _bindings().StringAttr.get(name, module.context)


def _run(
    module: Any, pipeline: str, step: AbstractContextManager[Any] | None = None, verify: bool = True
) -> None:
    """Run passes; with `verify`, MLIR checks the module after each of them."""
    if step is not None:
        from ._mlir._mlir_libs import _tilewright

        with step:
            _tilewright.run_passes(module, pipeline, verify)
        return
    from ._mlir.passmanager import PassManager

    manager = PassManager.parse(pipeline, module.context)
    manager.enable_verifier(verify)
    manager.run(module.operation)


def _file(folder: str, name: str) -> Path:
    return Path(folder) / f"{stages.NAMES.index(name):02d}-{name}.mlir"


def _text(module: Any) -> str:
    return module.operation.get_asm(enable_debug_info=True)


def _select(module: Any, target: Any, report: Report) -> None:
    """Write a config on every computation of every kernel."""
    ir = _bindings()
    parsed: dict[str, Any] = {}
    by_name: dict[str, KernelReport] = {}
    for view in module.body.operations:
        op = view.operation
        if op.name != "func.func" or "tw.kernel" not in op.attributes:
            continue
        facts, ops = read(op, ir)
        if not ops:
            continue
        configs = target.select(facts)
        for linalg_op, config in zip(ops, configs, strict=True):
            for name, text in config.attributes().items():
                if text not in parsed:
                    parsed[text] = ir.Attribute.parse(text, module.context)
                linalg_op.attributes[name] = parsed[text]
        by_name[facts.name] = KernelReport(facts, configs)
    _count_calls(module, by_name)
    report.kernels = list(by_name.values())


_PLACE = re.compile(r'"([^"]+)":(\d+):(\d+)')


def _count_calls(module: Any, by_name: dict[str, KernelReport]) -> None:
    ir = _bindings()

    def visit(op: Any) -> Any:
        if op.name == "func.call":
            name = ir.FlatSymbolRefAttr(op.attributes["callee"]).value
            if name in by_name:
                kernel = by_name[name]
                kernel.calls += 1
                for file, line, _ in _PLACE.findall(str(op.location)):
                    place = f"{file}:{line}"
                    if place not in kernel.lines:
                        kernel.lines.append(place)
                if "tw.unfused" in op.attributes:
                    for reason in op.attributes["tw.unfused"]:
                        text = ir.StringAttr(reason).value
                        if text not in kernel.unfused:
                            kernel.unfused.append(text)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)


def _reproducer(label: str, text: str) -> str:
    """Write IR to a file that stays, and return its path."""
    with tempfile.NamedTemporaryFile(
        "w", suffix=".mlir", prefix=f"tilewright-{label}-", delete=False
    ) as handle:
        handle.write(text)
    return handle.name


def _diagnose(stage: stages.Stage, before: str, error: Exception) -> None:
    """Run a failed stage again pass by pass, to name the pass, and raise with a reproducer."""
    ir = _bindings()
    context = ir.Context()
    with context:
        module = ir.Module.parse(before)
        failed, current = stage.passes[0].pipeline if stage.passes else "select", before
        for step in stage.passes:
            current, failed = _text(module), step.pipeline
            try:
                _run(module, stages.nested(step.pipeline))
            except Exception:  # the pass that fails again is the one that is looked for
                break
    reproducer = _reproducer(stage.name, current)
    reason = str(error).strip()
    match = re.search(r"'([a-z_]+\.[a-z_0-9.]+)' op (.*)", reason) or re.search(r"error:\s*(.*)", reason)
    op = match.group(1) if match and match.lastindex == 2 else None
    place = _PLACE.search(reason)
    loc = None
    if place:
        loc = errors.SourceLocation(place.group(1), int(place.group(2)), int(place.group(3)))
    errors.fail(
        errors.LoweringError,
        f"stage {stage.name!r} could not be reached: {reason.splitlines()[0] if reason else 'no reason was given'}",
        help="if the program is one that the documentation promises to compile, report it with the reproducer",
        loc=loc,
        stage=stage.name,
        pass_name=failed,
        op=op,
        reason=reason,
        reproducer=reproducer,
        command=f"tw-opt {reproducer} --pass-pipeline='{stages.nested(failed)}'",
        cause=error,
    )


def lower(
    module: Any,
    target: str | Any = "cpu",
    to_stage: str = "llvm",
    options: Options | None = None,
    report: Report | None = None,
) -> Any:
    """Lower a module to a stage.

    Args:
        module: A module at any stage; it is not changed.
        target: A target's name, or a target.
        to_stage: Name of the stage to reach.
        options: How to lower.
        report: Receives times and kernels.

    Returns:
        A new module that carries `to_stage`.

    Raises:
        LoweringError: If a pass refuses, with the pass, the operation, the user's line and a reproducer.
        InternalError: If a stage's promise is broken.
        ValueError: If `to_stage` is unknown or lies before the module's stage.
    """
    options, report = options or Options(), report if report is not None else Report()
    machine = base.find(target) if isinstance(target, str) else target
    ir = _bindings()
    rows = stages.between(stage_of(module), to_stage, base.table(machine))
    with module.context, ir.Location.unknown():
        current = _exchange(_clone(module), options)
        _describe(current)
        for stage in rows:
            options.begin(stage.name)
            started = time.perf_counter()
            try:
                _advance(current, stage, machine, options, report)
            except errors.TilewrightError:
                raise
            except Exception as error:
                _diagnose(stage, _text(_again(module, machine, stage, options)), error)
            report.seconds[stage.name] = time.perf_counter() - started
            current = _exchange(current, options)
    return current


def _again(module: Any, target: Any, stage: stages.Stage, options: Options) -> Any:
    """Return what a failed stage was given: failures are rare, copies for them would cost every program time."""
    before = stages.NAMES[stages.NAMES.index(stage.name) - 1]
    return lower(module, target, before, Options(verify=False, override=options.override, step=options.step))


def _exchange(module: Any, options: Options) -> Any:
    """Put an edited file in a stage's place, where there is one, and dump what goes on from here."""
    name = stage_of(module)
    if options.override and options.dump and Path(options.override).resolve() == Path(options.dump).resolve():
        raise errors.ArgumentError(
            f"{options.dump}: the folder of dumps cannot be that of overrides",
            help="copy the stages that you edit to a folder of their own.",
        )
    if options.override and (file := _file(options.override, name)).exists():
        _log.info("stage %s is taken from %s", name, file)
        module = parse(file.read_text(encoding="utf-8"), str(file), module.context)
        if stage_of(module) != name:
            raise errors.FormatError(f"{file}: the module is at stage {stage_of(module)!r}, not {name!r}")
    if options.dump:
        Path(options.dump).mkdir(parents=True, exist_ok=True)
        _file(options.dump, name).write_text(_text(module))
    return module


def parse(text: str, source: str, context: Any) -> Any:
    """Parse a module that carries its stage.

    Args:
        text: The module.
        source: Where it comes from, for messages.
        context: The context that it is parsed in.

    Raises:
        FormatError: It is no module, or carries no stage.
    """
    ir = _bindings()
    try:
        module = ir.Module.parse(text, context)
    except ir.MLIRError as problem:
        reason = " ".join(str(problem).removeprefix("Unable to parse module assembly:").split())
        reason = reason.removeprefix("error: ").replace('"-":', "line ", 1)
        raise errors.FormatError(f"{source}: no module: {reason}") from None
    if "tw.stage" not in module.operation.attributes:
        raise errors.FormatError(
            f"{source}: the module carries no tw.stage",
            help='a dump of Tilewright says its stage: module attributes {tw.stage = "traced"}',
        )
    return module


def _describe(module: Any) -> None:
    """Write on a module what its object will take, as far as its stage shows it."""
    name = stage_of(module)
    if name in ("traced", "tensor"):  # anew, since an edit may have changed it
        manifest.record_signature(module)
    elif name in ("kernels", "tiled", "vector") and not manifest.is_recorded(module):
        manifest.record_interface(module)


def _clone(module: Any) -> Any:
    from ._mlir._mlir_libs import _tilewright

    return _tilewright.clone_module(module)


def _advance(module: Any, stage: stages.Stage, target: Any, options: Options, report: Report) -> None:
    if stage.name == "tensor":
        attribute = _bindings().Attribute.parse(target.attribute(), module.context)
        module.operation.attributes["tw.target"] = attribute
    if stage.select:
        _select(module, target, report)
    _run_passes(module, stage, options, report)
    _stamp(module, stage.name)
    if stage.name == "kernels":
        manifest.record_interface(module)
    if options.verify:
        _verify(module, stage, options.step)


def _run_passes(module: Any, stage: stages.Stage, options: Options, report: Report) -> None:
    # Where the end of the stage is checked, checking after every pass would be a tenth of the time.
    verify = not options.verify
    if not options.time_passes:
        _run(module, stages.pipeline_text(stage), options.step, verify)
        return
    for row in stage.passes:
        started = time.perf_counter()
        _run(module, stages.nested(row.pipeline), options.step, verify)
        report.passes.append((stage.name, row.pipeline, time.perf_counter() - started))


def _verify(module: Any, stage: stages.Stage, step: AbstractContextManager[Any] | None) -> None:
    try:
        _run(module, stages.nested("tw-verify-stage"), step)
    except Exception as error:
        reproducer = _reproducer(f"verify-{stage.name}", _text(module))
        errors.fail(
            errors.InternalError,
            f"stage {stage.name!r} breaks its promise ({stage.promise})",
            help="this is a bug of Tilewright: report it with the reproducer",
            stage=stage.name,
            pass_name="tw-verify-stage",
            reason=str(error).strip(),
            reproducer=reproducer,
            command=f"tw-opt {reproducer} --tw-verify-stage",
            cause=error,
        )


def compile(
    module: Any, target: str | Any = "cpu", options: Options | None = None, report: Report | None = None
) -> tuple[bytes, dict[str, Any]]:
    """Compile a module to an object.

    Args:
        module: A module at any stage up to `llvm`; it is not changed.
        target: A target's name, or a target.
        options: How to lower.
        report: Receives times and kernels.

    Returns:
        The object's bytes and its manifest.

    Raises:
        LoweringError: As `lower`.
    """
    options, report = options or Options(), report if report is not None else Report()
    machine = base.find(target) if isinstance(target, str) else target
    final = lower(module, machine, "llvm", options, report)
    options.begin("object")
    started = time.perf_counter()
    with final.context, options.step or nullcontext():
        if options.time_passes and hasattr(machine, "emit_timed"):
            code, steps = machine.emit_timed(final, options.opt_level)
            report.passes += [("object", f"LLVM: {name}", seconds) for name, seconds in steps.items()]
        else:
            code = machine.emit(final, options.opt_level)
    report.seconds["object"] = time.perf_counter() - started
    return code, manifest.build_manifest(final, machine, report)


def commands(target: str | Any = "cpu") -> list[tuple[str, str]]:
    """Return the `tw-opt` command of every stage, in order.

    `select` stands between `kernels` and `tiled`; what it decided is in the dump after `kernels` as `#tw.config`.
    """
    machine = base.find(target) if isinstance(target, str) else target
    return [
        (stage.name, f"tw-opt --pass-pipeline='{stages.pipeline_text(stage)}'")
        for stage in base.table(machine)[1:]
    ]
