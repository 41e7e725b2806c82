"""Which program fits a call, and which sizes become dynamic when none does."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from . import pytree
from .compiled import Compiled
from .specs import Dim, Spec

__all__ = ["Family", "Leaf", "SizedProgram", "leaves_of"]


@dataclass(frozen=True)
class Leaf:
    """One array of a call."""

    name: str
    value: Any
    spec: Spec
    weight: bool = False
    donate: bool = False

    @staticmethod
    def of(value: Any, name: str, weight: bool = False, donate: bool = False) -> Leaf:
        """Describe an argument.

        Raises:
            ArgumentError, DTypeError: it is no array, number or spec.
        """
        from .trace import describe

        return Leaf(name, value, describe(value, name), weight, donate)


def leaves_of(value: Any, name: str, weight: bool, donate: bool) -> tuple[list[Leaf], pytree.TreeDef]:
    """Take one argument apart."""
    leaves, tree, names = pytree.flatten_with_names(value, name)
    return [Leaf.of(leaf, path, weight, donate) for leaf, path in zip(leaves, names, strict=True)], tree


@dataclass
class SizedProgram:
    """A compiled program and the shapes it serves: ints, and `Dim`s of which equal names are equal sizes."""

    pattern: list[tuple[int | Dim, ...]]
    compiled: Compiled
    added: bool = False
    _bound: dict[Any, tuple[Any, Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def admits(self, shapes: list[tuple[int, ...]]) -> bool:
        """Tell whether concrete shapes fit."""
        seen: dict[str, int] = {}
        for shape, pattern in zip(shapes, self.pattern, strict=True):
            for size, entry in zip(shape, pattern, strict=True):
                if isinstance(entry, Dim):
                    if not entry.admits(size) or seen.setdefault(entry.name, size) != size:
                        return False
                elif entry != size:
                    return False
        return True

    def bound(self, leaves: list[Leaf]) -> tuple[Compiled, Compiled | None]:
        """Return the program with these very weight arrays bound, packed at first sight; and one that is let go for it.

        A loop that makes new weights at each step must not pile up packed copies.
        """
        weights = [leaf for leaf in leaves if leaf.weight]
        key = tuple(id(leaf.value) for leaf in weights)
        with self._lock:
            found, gone = self._bound.get(key), None
            if found is None:
                # With all arguments that are weights bound, what is called has the other ones only.
                program = self.compiled.with_bound({leaf.name: leaf.value for leaf in weights})
                # The arrays are kept: an id means something only while its object lives.
                found = ([leaf.value for leaf in weights], program)
                if len(self._bound) >= 4:
                    gone = self._bound.pop(next(iter(self._bound)))[1]
                self._bound[key] = found
            return found[1], gone

    def with_weights(self) -> list[Compiled]:
        """Its copies with weights bound."""
        with self._lock:
            return [program for _, program in self._bound.values()]


class Family:
    """The programs of one structure, dtypes and static arguments; they differ in sizes only.

    Args:
        dynamic: True makes every size dynamic at once, False none, None those that were seen to vary.
    """

    def __init__(self, dynamic: bool | None):
        self.dynamic = dynamic
        self.programs: list[SizedProgram] = []
        self.history: list[list[tuple[int, ...]]] = []
        self._lock = threading.Lock()

    def find(self, shapes: list[tuple[int, ...]]) -> SizedProgram | None:
        """Return a program that fits, the newest first."""
        return next((p for p in reversed(self.programs) if p.admits(shapes)), None)

    def add(self, pattern: list[Any], compiled: Compiled) -> SizedProgram:
        """Keep a program."""
        program = SizedProgram(pattern, compiled)
        with self._lock:
            self.programs.append(program)
        return program

    def plan(self, shapes: list[tuple[int, ...]], names: list[str]) -> tuple[list[Any], str | None]:
        """Choose what to compile for shapes that no program fits.

        Sizes that always changed together are taken as one. Sizes of 0 and 1 stay static: they broadcast, or leave
        nothing to do.

        Returns:
            The pattern, and what changed, in words (None for the first program).
        """
        with self._lock:
            self.history.append([tuple(shape) for shape in shapes])
            history = list(self.history)
        if self.dynamic is False:
            reason = "another shape, with dynamic=False" if len(history) > 1 else None
            return [tuple(shape) for shape in shapes], reason
        groups: dict[tuple[int, ...], str] = {}
        pattern: list[tuple[int | Dim, ...]] = []
        changes: list[str] = []
        for k, shape in enumerate(shapes):
            row: list[int | Dim] = []
            for axis, size in enumerate(shape):
                column = tuple(past[k][axis] for past in history)
                # Where size 1 or 0 was seen once, later programs are told apart by it anyway.
                varied = len({value for value in column if value > 1}) > 1 or self.dynamic is True
                if not varied or size < 2:
                    row.append(size)
                    if len(history) > 1 and size != column[-2]:
                        changes.append(f"'{names[k]}' dim {axis} was {column[-2]}, now {size}")
                    continue
                name = groups.setdefault(column, f"n{len(groups)}")
                row.append(Dim(name))
                if len(history) > 1 and column[-2] != size:
                    changes.append(
                        f"'{names[k]}' dim {axis} was {column[-2]}, now {size}; it is dynamic from now on"
                    )
            pattern.append(tuple(row))
        return pattern, "; ".join(changes) or None
