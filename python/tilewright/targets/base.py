"""What the pipeline asks of a target, and how targets are found."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, Protocol

from .. import errors
from .facts import KernelFacts

#: Targets of this distribution; they work from a source tree that was never installed, too. They need no look into
#: the metadata of all installed packages, which takes as long as compiling something small.
_BUILT_IN = {
    "cpu": "tilewright.targets.cpu.target:target",
    "interp": "tilewright.targets.interp.target:target",
}


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


def _installed() -> Any:
    from importlib.metadata import entry_points

    return entry_points(group="tilewright.targets")


def names() -> list[str]:
    """Return the names of all targets that are installed."""
    return sorted({*_BUILT_IN, *(entry.name for entry in _installed())})


@cache
def find(name: str) -> Any:
    """Return the target called `name`.

    Raises:
        ArgumentError: If no such target is installed.
    """
    if name in _BUILT_IN:
        module, function = _BUILT_IN[name].split(":")
        return getattr(import_module(module), function)()
    for entry in _installed():
        if entry.name == name:
            return entry.load()()
    errors.fail(
        errors.ArgumentError, f"no target is called {name!r}", help=f"installed targets: {', '.join(names())}"
    )
