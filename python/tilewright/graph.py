"""The explicit builder: inputs, ops, outputs, one by one, instead of a function that is traced."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import errors, pytree, values
from .compiled import Compiled
from .programs import Lowered, Traced
from .recorder import Recorder
from .specs import spec
from .trace import Argument, Program, add_input, finish
from .values import Tracer

__all__ = ["Graph"]


class Graph:
    """A program under construction.

    Inputs are values of the same kind that a traced function sees; every function of `tw` and `tw.numpy` works on
    them, and the resulting IR is the one that tracing the same steps gives, byte for byte.

    Args:
        name: of the program.

    Example:
        >>> import numpy as np, tilewright as tw
        >>> g = tw.Graph("scale")
        >>> x = g.input("x", (4,), "float32")
        >>> g.output(tw.exp(x) * 2.0)
        >>> print(g.as_text().splitlines()[0])
        module attributes {tw.stage = "traced"} {
    """

    def __init__(self, name: str = "main"):
        self.name = name
        self._recorder = Recorder(name)
        self._arguments: list[Argument] = []
        self._outputs: list[Any] | None = None
        self._out_tree: Any = None
        self._program: Program | None = None
        self._entered: list[Any] = []

    def __enter__(self) -> Graph:
        """Make functions without traced operands (`tw.iota`, `tw.zeros`) add to this graph."""
        self._check_open("with")
        manager = values.activate(self._recorder)
        manager.__enter__()
        self._entered.append(manager)
        return self

    def __exit__(self, *error: Any) -> None:
        self._entered.pop().__exit__(*error)

    @errors.trim_traceback
    def input(self, name: str, shape: Any, dtype: Any = "float32", *, donate: bool = False) -> Tracer:
        """Add an argument.

        Args:
            name: unique in the graph.
            shape: sizes; ints, `tw.Dim`, names, or None for a size of its own.
            dtype: of the elements.
            donate: an output may reuse its memory.

        Returns:
            The value.

        Raises:
            ArgumentError: the name is taken, or the graph is finished.
        """
        return self._add(Argument(name, spec(shape, dtype), donate=donate))

    @errors.trim_traceback
    def weight(self, name: str, shape: Any, dtype: Any = "float32") -> Tracer:
        """Add an argument that is bound once, by name, with `compiled.bind`.

        Raises:
            ArgumentError: the name is taken, or the graph is finished.
        """
        return self._add(Argument(name, spec(shape, dtype), weight=True))

    def _add(self, argument: Argument) -> Tracer:
        self._check_open("input")
        if any(known.name == argument.name for known in self._arguments):
            errors.fail(errors.ArgumentError, f"Graph: the name {argument.name!r} is taken")
        if self._recorder.captured_arrays:
            errors.fail(errors.ArgumentError, "Graph: add all inputs before large constants")
        argument, tracer = add_input(self._recorder, argument)
        self._arguments.append(argument)
        return tracer

    @errors.trim_traceback
    def constant(self, value: Any, dtype: Any = None) -> Tracer:
        """Add an array or number that is known now."""
        from .ops import asarray

        self._check_open("constant")
        with values.activate(self._recorder):
            return asarray(value if not isinstance(value, np.generic) else np.asarray(value), dtype=dtype)

    @errors.trim_traceback
    def output(self, *outputs: Any) -> None:
        """Say what the program returns: one tree, or several values as a tuple. Ends the graph.

        Raises:
            ArgumentError: the graph is finished.
        """
        self._check_open("output")
        tree = outputs[0] if len(outputs) == 1 else outputs
        self._outputs, self._out_tree = pytree.flatten(tree)

    def _check_open(self, what: str) -> None:
        if self._outputs is not None:
            errors.fail(
                errors.ArgumentError, f"Graph.{what}: the graph {self.name!r} has its outputs already"
            )

    @errors.trim_traceback
    def trace(self) -> Traced:
        """Return the finished program, as `fn.trace` does.

        Raises:
            ArgumentError: there is no output yet.
        """
        if self._program is None:
            if self._outputs is None:
                errors.fail(
                    errors.ArgumentError,
                    f"Graph: {self.name!r} has no output yet",
                    help="call g.output(...).",
                )
            leaf = pytree.LEAF
            inputs = pytree.TreeDef("tuple", tuple(leaf for _ in self._arguments))
            in_tree = pytree.TreeDef("tuple", (inputs, pytree.TreeDef("dict")))
            self._program = finish(
                self._recorder, self._arguments, self._outputs, self.name, in_tree, self._out_tree
            )
        return Traced(self._program)

    def lower(self, target: str | None = None) -> Lowered:
        """Return `trace().lower(target)`."""
        return self.trace().lower(target)

    def compile(self, target: str | None = None) -> Compiled:
        """Return `trace().lower(target).compile()`."""
        return self.trace().lower(target).compile()

    def as_text(self, stage: str = "traced") -> str:
        """Render the program at a stage."""
        return self.trace().lower().as_text(stage)
