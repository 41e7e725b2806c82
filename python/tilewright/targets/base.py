"""What the pipeline asks of a target, and how targets are found."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from inspect import signature
from typing import Any, Protocol

from .. import errors
from ..stages import STAGES, Stage
from .facts import KernelFacts

#: Targets of this distribution; they work from a source tree that was never installed, too. They need no look into
#: the metadata of all installed packages, which takes as long as compiling something small.
_BUILT_IN = {
    "cpu": "tilewright.targets.cpu.target:target",
    "cuda": "tilewright.targets.cuda.target:target",
    "interp": "tilewright.targets.interp.target:target",
}


def table(target: Any) -> tuple[Stage, ...]:
    """Return the stages of a target: the shared ones, unless it has rows of its own."""
    return getattr(target, "stages", STAGES)


class Target(Protocol):
    """A machine that programs are compiled for."""

    name: str

    def attribute(self) -> str:
        """The `#tw.target` attribute as text."""
        ...

    def select(self, kernel: KernelFacts) -> list[Any]:
        """A config (with `text()` and `why`) for every operation of a kernel."""
        ...

    def emit(self, module: Any, opt_level: int) -> bytes:
        """The object of a module at stage `llvm`."""
        ...

    def key(self) -> dict[str, str]:
        """What of the machine belongs to the key of compiled code."""
        ...

    # A target may have more: `stages`, its own table; `assembly(module, opt_level)`, the text of its object;
    # `emit_timed`, as `emit` with times; `describe(module)`, entries for the manifest; `assemble(text)`, machine code
    # of a device, or None.


def _installed() -> Any:
    from importlib.metadata import entry_points

    return entry_points(group="tilewright.targets")


def names() -> list[str]:
    """Return the names of all targets that are installed."""
    return sorted({*_BUILT_IN, *(entry.name for entry in _installed())})


@cache
def find(name: str) -> Any:
    """Return the target called `name`; what follows a colon says which of its machines (`cuda:sm_80`).

    Raises:
        ArgumentError: If no such target is installed, or it has no such machine.
    """
    kind, colon, variant = name.partition(":")
    make: Any = None
    if kind in _BUILT_IN:
        module, function = _BUILT_IN[kind].split(":")
        make = getattr(import_module(module), function)
    else:
        make = next((entry.load() for entry in _installed() if entry.name == kind), None)
    if make is not None and not colon:
        return make()
    if make is not None and variant and signature(make).parameters:
        return make(variant)
    if make is not None:
        errors.fail(
            errors.ArgumentError,
            f"target {name!r}: {kind} takes nothing after its name",
            help=f"write {kind}.",
        )
    errors.fail(
        errors.ArgumentError, f"no target is called {name!r}", help=f"installed targets: {', '.join(names())}"
    )
