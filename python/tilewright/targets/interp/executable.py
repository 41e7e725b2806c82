"""A program of the target `interp` behind the interface of compiled ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ... import errors

__all__ = ["InterpretedProgram"]


class InterpretedProgram:
    """Calls the reference for every operation; weights are bound by name as with compiled code.

    Args:
        target: The target `interp`.
        traced: The program (`tilewright.programs.Traced`).
        bound: Arrays by argument position.
        float64: Keep floats in float64 and round nothing: the oracle of the tests.
    """

    def __init__(self, target: Any, traced: Any, bound: Mapping[int, Any] | None = None, float64: bool = False):
        self._target, self._traced, self._bound, self._float64 = target, traced, dict(bound or {}), float64

    @property
    def manifest(self) -> dict[str, Any]:
        """The arguments; there are no kernels."""
        args = [
            {"name": a.name, "dtype": a.spec.dtype.name, "kind": "input" if a.kind == "input" else "weight",
             "shape": [s if isinstance(s, int) else None for s in a.spec.shape], "packed_by": None}
            for a in self._traced.result.arguments
        ]
        return {"target": "interp", "args": args, "outputs": [], "kernels": [], "loads": []}

    def bind(self, weights: Mapping[str, Any]) -> InterpretedProgram:
        """Return the program with arrays for the weight arguments that are named."""
        bound = dict(self._bound)
        for index, argument in enumerate(self._traced.result.arguments):
            if argument.kind != "input" and index not in bound:
                if argument.name not in weights:
                    errors.fail(errors.ArgumentError, f"bind: missing weight {argument.name!r}")
                bound[index] = weights[argument.name]
        return InterpretedProgram(self._target, self._traced, bound, self._float64)

    def call_tuple(self, *leaves: Any) -> tuple[np.ndarray, ...]:
        """Run the program on the arguments that are not bound."""
        arguments, rest = self._traced.result.arguments, iter(leaves)
        expected = len(arguments) - len(self._bound)
        if len(leaves) != expected:
            errors.fail(errors.ArgumentError, f"{self._traced.name}: takes {expected} arrays, got {len(leaves)}")
        values = []
        for index, argument in enumerate(arguments):
            value = self._bound[index] if index in self._bound else next(rest)
            array = np.asarray(value)
            _check(argument, array)
            values.append(array)
        return tuple(self._target.run(self._traced.module, values, float64=self._float64))


def _check(argument: Any, array: np.ndarray) -> None:
    shape = argument.spec.shape
    fits = len(shape) == array.ndim and all(
        not isinstance(want, int) or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ",".join(str(s) if isinstance(s, int) else "?" for s in shape)
        errors.fail(
            errors.ShapeError,
            f"argument {argument.name!r} compiled for [{wanted}], called with {list(array.shape)}",
        )
