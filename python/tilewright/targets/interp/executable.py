"""The target `interp` behind the interface of an executable: checks arguments, then runs the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import dtypes, errors
from ...runtime import interop
from ...specs import Dim

if TYPE_CHECKING:
    from ...trace import Argument, Program

__all__ = ["InterpretedProgram"]


class InterpretedProgram:
    """A traced program that the NumPy reference runs.

    Args:
        program: what to run.
        target: the target, which has `run(module, arrays)`.
        bound: arrays of weights by position.
        float64: keep floats in float64 and round nothing: the oracle of the tests.
    """

    def __init__(
        self,
        program: Program,
        target: Any,
        bound: Mapping[int, np.ndarray] | None = None,
        float64: bool = False,
    ):
        self._program = program
        self._float64 = float64
        self._target = target
        self._bound = dict(bound or {})
        self.input_indices = tuple(i for i in range(len(program.arguments)) if i not in self._bound)

    def __call__(self, *args: Any) -> Any:
        outputs = self.call_tuple(*args)
        return outputs[0] if len(outputs) == 1 else outputs

    def call_tuple(self, *args: Any) -> tuple[Any, ...]:
        """Run with the arguments that are not bound, and return all outputs."""
        program = self._program
        if len(args) != len(self.input_indices):
            names = [program.arguments[i].name for i in self.input_indices]
            errors.fail(
                errors.ArgumentError,
                f"{program.name}: takes {len(names)} arrays ({', '.join(names)}), got {len(args)}",
            )
        arrays = dict(self._bound)
        sizes: dict[str, tuple[int, str]] = {}
        for index, value in zip(self.input_indices, args, strict=True):
            array = _as_array(value)
            arrays[index] = _checked(
                program.arguments[index], array, sizes, isinstance(value, (bool, int, float))
            )
        results = self._target.run(program.module, [arrays[i] for i in range(len(program.arguments))],
                                   float64=self._float64)  # fmt: skip
        return tuple(results)

    def bind(self, weights: Mapping[str, Any]) -> InterpretedProgram:
        """Bind weights by name."""
        bound = dict(self._bound)
        for i, argument in enumerate(self._program.arguments):
            if not argument.weight or i in bound:
                continue
            if argument.name not in weights:
                errors.fail(errors.ArgumentError, f"bind: weight '{argument.name}' is missing")
            bound[i] = _checked(argument, _as_array(weights[argument.name]), {}, False)
        return InterpretedProgram(self._program, self._target, bound, self._float64)

    def bind_arrays(self, arrays: Mapping[int, np.ndarray]) -> InterpretedProgram:
        """Bind arrays by position."""
        checked = {
            i: _checked(self._program.arguments[i], _as_array(a), {}, False) for i, a in arrays.items()
        }
        return InterpretedProgram(self._program, self._target, {**self._bound, **checked}, self._float64)

    def bound_arrays(self) -> dict[int, np.ndarray]:
        """Return what is bound, by position."""
        return dict(self._bound)

    @property
    def manifest(self) -> dict[str, Any]:
        """Describe arguments and results as the manifest of compiled code does."""

        def sizes(shape: Any) -> list[Any]:
            return [size if isinstance(size, int) else None for size in shape]

        return {
            "target": "interp",
            "args": [
                {
                    "name": a.name,
                    "dtype": a.spec.dtype.name,
                    "shape": sizes(a.spec.shape),
                    "dims": [d.name if isinstance(d, Dim) else None for d in a.spec.shape],
                    "kind": "weight" if a.weight else "input",
                    "weight": a.name if a.weight else None,
                    "donate": a.donate,
                    "packed_by": None,
                    "sources": [],
                }
                for a in self._program.arguments
            ],
            "outputs": [
                {"dtype": o.dtype.name, "shape": sizes(o.shape), "alias": None} for o in self._program.outputs
            ],
            "loads": [],
            "kernels": [],
            "scratch": None,
        }


def _checked(
    argument: Argument, array: np.ndarray, sizes: dict[str, tuple[int, str]], scalar: bool
) -> np.ndarray:
    spec = argument.spec
    if scalar:
        return array.astype(spec.dtype.numpy)
    given = dtypes.of(array.dtype)
    shown = f"{given.name}{list(array.shape)}"
    if given is not spec.dtype:
        errors.fail(errors.DTypeError, f"argument '{argument.name}' compiled for {spec}, called with {shown}")
    if len(array.shape) != len(spec.shape):
        errors.fail(errors.ShapeError, f"argument '{argument.name}' compiled for {spec}, called with {shown}")
    for axis, (size, expected) in enumerate(zip(array.shape, spec.shape, strict=True)):
        if isinstance(expected, int):
            fits = size == expected
        elif isinstance(expected, Dim):
            before = sizes.setdefault(expected.name, (size, f"dim {axis} of '{argument.name}'"))
            fits = expected.admits(size)
            if before[0] != size:
                errors.fail(
                    errors.ShapeError,
                    f"argument '{argument.name}': {expected.name} is {before[0]} ({before[1]}) and {size} (dim {axis})",
                )
        else:
            fits = True
        if not fits:
            errors.fail(
                errors.ShapeError, f"argument '{argument.name}' compiled for {spec}, called with {shown}"
            )
    return array


def _as_array(x: Any) -> np.ndarray:
    return np.asarray(x) if isinstance(x, (bool, int, float)) else interop.to_numpy(x)
