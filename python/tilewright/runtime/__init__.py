"""Loads, binds and calls compiled programs. Knows arrays and native code, and nothing of the compiler.

The native half is `tilewright._runtime` (cpp/Runtime): the loader, the call path and the threads. A program is an
object file and a manifest; `Executable(object, manifest)` links it, `bind` gives it its weights, and a call takes
arrays and returns arrays of the same kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _runtime, config

if TYPE_CHECKING:
    from .array import Array
    from .artifact import Artifact, load, save

__all__ = [
    "ABI_VERSION",
    "Array",
    "Artifact",
    "Dispatcher",
    "Executable",
    "load",
    "num_threads",
    "save",
    "set_num_threads",
]

ABI_VERSION: int = _runtime.ABI_VERSION
Executable = _runtime.Executable
Dispatcher = _runtime.Dispatcher

_LAZY = {"Array": "array", "Artifact": "artifact", "load": "artifact", "save": "artifact"}

if _threads := config.current().num_threads:
    _runtime.set_num_threads(_threads)
_runtime.set_perf_map(config.current().perf)
_runtime.set_cuda_driver(config.current().cuda_driver)
_runtime.set_cuda_options(
    config.current().cuda_graphs, config.current().cuda_sync, config.current().cuda_overlap
)


def num_threads() -> int:
    """Return how many threads a parallel loop of compiled code uses, the caller among them."""
    return _runtime.num_threads()


def set_num_threads(count: int | None = None) -> None:
    """Set the number of threads of compiled code.

    Args:
        count: at least 1; None asks for the default, which is what the process may use (its affinity and the
            quota of its cgroup).

    Raises:
        ArgumentError: the count is not a positive integer.
    """
    from .. import errors

    if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
        errors.fail(errors.ArgumentError, f"set_num_threads: expected a positive integer, got {count!r}")
    _runtime.set_num_threads(count or 0)


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tilewright.runtime' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value
