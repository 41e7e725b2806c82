"""Variants of a program for sizes that it is called with often: found by counting, compiled beside the calls.

A program with symbolic sizes serves every size, and pays for it: loops have remainders, layouts are chosen in the dark.
The runtime counts the sizes of calls (see cpp/Runtime/Variants.h); what comes often enough is compiled here, in a
thread of its own, from the same traced module with those sizes pinned. The table of variants is replaced at once, a
guard on the sizes picks a variant at each call, and what no guard admits runs the program's own code as before.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from . import errors

if TYPE_CHECKING:
    from .compiled import Compiled

__all__ = ["DEFAULT_CALLS", "Specializer", "VariantInfo"]

_log = logging.getLogger("tilewright.variants")

#: Calls with the same sizes after which "observed" makes a variant for them.
DEFAULT_CALLS = 200
#: Variants that one program has at a time, and how many are compiled for it in all: changing tastes end somewhere.
LIMIT = 8
BUDGET = 64

Sizes = tuple[int | None, ...]


class VariantInfo(NamedTuple):
    """One row of `compiled.variants()`.

    Attributes:
        guard: the sizes by symbol that a call must have.
        calls: how many calls it answered.
        compile_ms: what it took to make it, or to find it in the disk cache.
        cached: whether it was found there.
    """

    guard: dict[str, int]
    calls: int
    compile_ms: float
    cached: bool


class _Stopped(Exception):
    """The process ends: a variant is of no use any more."""


class _Step:
    """Around each piece of native work that runs beside other threads.

    A fork waits until the piece under way is done, since its locks would stay locked in the child for good; and a
    process that ends waits for no more than one.
    """

    def __enter__(self) -> None:
        _native.acquire()
        if not threading.main_thread().is_alive():
            _native.release()
            raise _Stopped

    def __exit__(self, *_: object) -> None:
        _native.release()


# Held for native work and for short bookkeeping, in this order. Neither is held while user code runs.
_native = threading.Lock()
_tables = threading.RLock()
_jobs: deque[Callable[[], None]] = deque()
_worker: threading.Thread | None = None


def _before_fork() -> None:
    _native.acquire()
    _tables.acquire()


def _after_fork_in_parent() -> None:
    _tables.release()
    _native.release()


def _after_fork_in_child() -> None:
    global _worker
    _after_fork_in_parent()
    # The thread stayed behind. What it had begun stays unmade here: its sizes will come again.
    _worker = None
    _jobs.clear()
    for one in list(_all):
        one._pending.clear()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)


def _submit(job: Callable[[], None]) -> None:
    global _worker
    with _tables:
        if not threading.main_thread().is_alive():
            return  # the process ends
        _jobs.append(job)
        if _worker is None:
            # No daemon: those are killed inside native code when the interpreter goes away.
            worker = threading.Thread(target=_work, name="tilewright-variants")
            worker.start()
            _worker = worker  # only now: a thread that the system refuses is none


def _work() -> None:
    global _worker
    while True:
        with _tables:
            if not _jobs:
                _worker = None
                return
            job = _jobs.popleft()
        try:
            job()
        except Exception:  # the next job is another program's
            _log.exception("a variant could not be made")


def wait() -> None:
    """Return once no variant is being made; for tests and measurements."""
    while (worker := _worker) is not None:
        worker.join()


@dataclass
class _Made:
    """What is known of a variant besides its guard and count."""

    executable: Any
    seconds: float
    cached: bool
    seen: int = 0  # calls at the last time somebody had to go


class Specializer:
    """Gives one executable its variants.

    Args:
        compiled: the code for all sizes, and what it was compiled from.
    """

    def __init__(self, compiled: Compiled):
        # The executable owns this object as its watcher: a strong reference back would keep its weights from going
        # away with their last user.
        self._executable = weakref.ref(compiled.executable)
        self._compiled = weakref.ref(compiled)
        self._name = compiled.name
        self._made: dict[Sizes, _Made] = {}
        self._pending: set[Sizes] = set()
        self._refused: dict[Sizes, str] = {}
        self._budget = BUDGET
        self._after = 0
        self._generation = 0
        self._bytecode: bytes | None = None
        _all.add(self)

    # ---- what users ask for

    def watch(self, after: int) -> None:
        """Make variants for sizes that come `after` times; 0 makes no more."""
        executable = self._executable()
        if executable is None or not executable.symbols:
            return
        with _tables:
            self._after = after
            executable.watch_sizes(after, self._often if after else None)

    def specialize(self, sizes: Mapping[str, int]) -> VariantInfo:
        """Make a variant now.

        Raises:
            ArgumentError: a name is no symbol, or a size is not one that it may have.
            LoweringError: as for compiling.
            UnsupportedOpError: the variant cannot stand in for the program.
        """
        guard = self._guard(sizes)
        with _tables:
            known = guard in self._made
        if not known:
            reason = self._make(guard, self._generation, None)
            if reason:
                errors.fail(errors.UnsupportedOpError, f"specialize: {self._name}: {reason}")
        row = next((row for row in self.rows() if row.guard == dict(sizes)), None)
        if row is None:
            errors.fail(
                errors.UnsupportedOpError, f"specialize: {self._name}: its variants were dropped meanwhile"
            )
        return row

    def despecialize(self) -> None:
        """Go back to the code for all sizes, and stop watching. What is being compiled is dropped."""
        with _tables:
            self._generation += 1
            self._made.clear()
            self._refused.clear()
            self._budget = BUDGET
            self.watch(0)
            self._publish()

    def rows(self) -> list[VariantInfo]:
        """List the variants, those with most calls first."""
        executable = self._executable()
        if executable is None:
            return []
        with _tables:
            counts = {sizes: calls for sizes, _, calls in executable.variants()}
            rows = [
                VariantInfo(self._named(sizes), counts.get(sizes, 0), 1e3 * made.seconds, made.cached)
                for sizes, made in self._made.items()
            ]
        return sorted(rows, key=lambda row: -row.calls)

    def explain(self) -> list[str]:
        """Say which variants there are, and which there are not, in lines for people."""
        executable = self._executable()
        if executable is None or not executable.symbols or not (self._after or self._made or self._refused):
            return []
        lines = [f"variants: {len(self._made)} for certain sizes"]
        if self._after:
            lines[0] += f"; sizes that come {self._after} times get one"
        for row in self.rows():
            where = "found on disk" if row.cached else "compiled"
            lines.append(f"  {_text(row.guard)}: {row.calls} calls, {where} in {row.compile_ms:.0f} ms")
        for sizes, reason in self._refused.items():
            lines.append(f"  {_text(self._named(sizes))}: none: {reason}")
        for sizes, calls in executable.observed_sizes():
            if calls:
                lines.append(f"  {_text(self._named(sizes))}: seen {calls} times")
        return lines

    # ---- what the runtime reports

    def _often(self, sizes: Sizes) -> None:
        """Take up sizes that came often. Called within somebody's call, so it only writes them down."""
        with _tables:
            known = sizes in self._made or sizes in self._pending or sizes in self._refused
            if known or 0 in sizes or self._budget <= 0:
                return  # what has no elements has nothing to gain
            self._pending.add(sizes)
            job = functools.partial(_run, weakref.ref(self), sizes, self._generation)
        _submit(job)

    def _try(self, sizes: Sizes, generation: int) -> None:
        try:
            reason = self._make(sizes, generation, _Step())
        except _Stopped:
            return
        except Exception as problem:  # the code for all sizes is still there
            reason = next(iter(str(problem).splitlines()), type(problem).__name__)
        finally:
            with _tables:
                self._pending.discard(sizes)
        if reason:
            with _tables:
                if generation == self._generation:
                    self._refused[sizes] = reason
                while len(self._refused) > BUDGET:
                    self._refused.pop(next(iter(self._refused)))
            _log.info("%s: no variant for %s: %s", self._name, _text(self._named(sizes)), reason)

    # ---- making one

    def _make(self, sizes: Sizes, generation: int, step: _Step | None) -> str | None:
        """Compile and publish; return why not, or None."""
        from . import programs

        executable, compiled = self._executable(), self._compiled()
        if executable is None or compiled is None:
            return "the program is gone"
        started = time.perf_counter()
        lowered = compiled.lowered
        if self._bytecode is None:
            self._bytecode = programs.to_bytecode(lowered.program.module)
        program = programs.pinned(lowered.program, self._bytecode, self._named(sizes))
        made, cached = programs.executable_of(program, lowered.target, step)
        made, reason = _with_weights(executable, made)
        if reason:
            return reason
        seconds = time.perf_counter() - started
        with _tables:
            if generation != self._generation:
                return None  # despecialized meanwhile
            self._budget -= 1
            self._make_room(executable)
            self._made[sizes] = _Made(made, seconds, cached)
            self._publish()
        _log.info("%s: a variant for %s in %.0f ms", self._name, _text(self._named(sizes)), 1e3 * seconds)
        return None

    def _make_room(self, executable: Any) -> None:
        """Let the variant go that answered fewest calls since the last time; then wait longer for the next one."""
        if len(self._made) < LIMIT:
            return
        counts = {sizes: calls for sizes, _, calls in executable.variants()}
        recent = {sizes: counts.get(sizes, 0) - made.seen for sizes, made in self._made.items()}
        gone = min(recent, key=lambda sizes: recent[sizes])
        del self._made[gone]
        for sizes, made in self._made.items():
            made.seen = counts.get(sizes, 0)
        if self._after:
            self.watch(2 * self._after)
        _log.info("%s: the variant for %s made room", self._name, _text(self._named(gone)))

    def _publish(self) -> None:
        """Hand the table to the runtime: the most particular guards first."""
        executable = self._executable()
        if executable is not None and (self._made or executable.variants()):
            order = sorted(self._made, key=lambda sizes: sizes.count(None))
            executable.set_variants([(sizes, self._made[sizes].executable) for sizes in order])

    # ---- names

    def _symbols(self) -> Sequence[str]:
        executable = self._executable()
        return () if executable is None else executable.symbols

    def _named(self, sizes: Sizes) -> dict[str, int]:
        return {
            name: size for name, size in sorted(zip(self._symbols(), sizes, strict=False)) if size is not None
        }

    def _guard(self, sizes: Mapping[str, int]) -> Sizes:
        executable = self._executable()
        rules = executable.manifest.get("symbols") or {} if executable is not None else {}
        for name, size in sizes.items():
            if name not in rules:
                errors.fail(
                    errors.ArgumentError,
                    f"specialize: {self._name} has no symbolic size {name!r}",
                    help=errors.did_you_mean(name, rules) or f"it has {', '.join(rules) or 'none'}.",
                )
            low, high, step = rules[name]["min"], rules[name]["max"], rules[name]["multiple_of"]
            if (
                type(size) is not int
                or size < max(low, 1)
                or (high is not None and size > high)
                or size % step
            ):
                errors.fail(errors.ArgumentError, f"specialize: {name!r} of {self._name} cannot be {size!r}")
        if not sizes:
            errors.fail(
                errors.ArgumentError, "specialize: no size is given", help=f"it has {', '.join(rules)}."
            )
        return tuple(sizes.get(name) for name in self._symbols())


_all: weakref.WeakSet[Specializer] = weakref.WeakSet()


def _run(reference: weakref.ref[Specializer], sizes: Sizes, generation: int) -> None:
    one = reference()
    if one is not None:
        one._try(sizes, generation)


def _text(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {size}" for name, size in sizes.items())


def _with_weights(executable: Any, variant: Any) -> tuple[Any, str | None]:
    """Bind what the executable has bound to its variant; packed weights only where both pack alike."""
    bound = executable.bound_arrays()
    if not bound:
        return variant, None
    have = {_weight(executable.manifest, i): array for i, array in bound.items()}
    arrays = {}
    for index, spec in enumerate(variant.manifest["args"]):
        if spec["kind"] == "weight":
            array = have.get(_weight(variant.manifest, index))
            if array is None:
                return variant, f"weight {spec['weight']!r} would be packed in another way, a second time"
            arrays[index] = array
    return variant.bind_arrays(arrays) if arrays else variant, None


def _weight(manifest: Mapping[str, Any], index: int) -> tuple[Any, ...]:
    spec = manifest["args"][index]
    load = spec["packed_by"]
    sources: Iterable[str] = spec["sources"] if load is not None else (spec["weight"],)
    return (*sources, None if load is None else manifest["loads"][load]["key"])
