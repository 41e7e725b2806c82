"""The target object of ``interp``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["InterpTarget", "target"]


class InterpTarget:
    """Runs a program at stage ``traced``: slow, obvious, and the judge of the other targets.

    It produces no object and goes through no stage: ``api`` asks for :attr:`interprets` and calls :meth:`run`.
    """

    name = "interp"
    interprets = True

    def run(self, module: Any, args: Sequence[Any], *, float64: bool = False) -> list[np.ndarray]:
        """Run ``@main``.

        Args:
            module: an ``ir.Module`` at stage ``traced``.
            args: one array per argument, in order; converted to the argument's dtype.
            float64: keep every float in float64 and round nothing: the oracle of the tests.

        Returns:
            The results, in order, in the dtypes of the IR (floats as float64 with ``float64``).

        Raises:
            IndexRangeError: for an index out of range in a gather of mode "raise".
            CheckError: for a check that is false.
            UnsupportedOpError: for an operation without reference.
        """
        from ..._mlir import ir
        from .evaluate import Evaluator

        with module.context:
            return Evaluator(module, ir, wide=float64).call("main", args)

    def executable(self, program: Any, *, float64: bool = False) -> Any:
        """Return a program that is called like compiled code.

        Args:
            program: a ``tilewright.trace.Program``.
            float64: keep every float in float64.
        """
        from .executable import InterpretedProgram

        return InterpretedProgram(program, self, float64=float64)

    def attribute(self) -> str:
        """Return the ``#tw.target`` attribute as text."""
        return '#tw.target<kind = "interp", cpu = "", features = "", facts = {}>'

    def key(self) -> dict[str, str]:
        """Return what of the machine belongs to a cache key: nothing."""
        return {}


def target() -> InterpTarget:
    """Return the target; the entry point of ``tilewright.targets``."""
    return InterpTarget()
