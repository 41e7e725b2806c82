"""Arrays of other libraries: which kind they are, and outputs of the same kind.

Inputs of any library with DLPack are used in place. Outputs follow the inputs: all torch, torch; all NumPy, NumPy; a
mix, `tilewright.Array`. A kind is one bit in what native code collects about a call.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _runtime

__all__ = ["kind_of_type", "to_numpy", "wrap_outputs"]

# As ArrayKind in cpp/Runtime/Arrays.h has them.
NONE, NUMPY, TORCH, JAX, OWN, OTHER, CUPY, DEVICE = range(8)


def kind_of_type(cls: type) -> int:
    """Return the kind of arrays of a class; NONE if it is no array class."""
    if issubclass(cls, (np.ndarray, np.generic)):
        return NUMPY
    if not hasattr(cls, "__dlpack__") and not hasattr(cls, "__cuda_array_interface__"):
        return NONE
    roots = {base.__module__.partition(".")[0] for base in cls.__mro__}
    if "tilewright" in roots:
        # Traced values are no arrays, whatever protocol they refuse in words of their own.
        return {"Array": OWN, "DeviceArray": DEVICE}.get(cls.__name__, NONE)
    if "torch" in roots:
        return TORCH
    if roots & {"jax", "jaxlib"}:
        return JAX
    return CUPY if "cupy" in roots else OTHER


def to_numpy(value: Any) -> np.ndarray:
    """Return a NumPy array on the memory of an array of any library (bfloat16 as ml_dtypes has it).

    Raises:
        TypeError: `value` is no array.
        BufferError: the array lies on another device, or cannot be exported.
    """
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, np.generic) or not hasattr(value, "__dlpack__"):
        return np.asarray(value)
    if kind_of_type(type(value)) == DEVICE:
        return value.numpy()
    return _runtime.from_dlpack(value)


class _Exporter:
    """An array behind the DLPack protocol, for consumers that want a producer and no capsule."""

    def __init__(self, array: np.ndarray):
        self.array = array

    def __dlpack__(self, **_: Any) -> Any:
        return _runtime.to_dlpack(self.array)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


@functools.cache
def _wrapper(kinds: int) -> Any:
    """Return the function that makes an output for a call whose inputs were of these kinds."""
    if kinds == 1 << TORCH:
        from torch.utils.dlpack import from_dlpack

        return lambda array: from_dlpack(_runtime.to_dlpack(array))
    if kinds == 1 << JAX:
        from jax.dlpack import from_dlpack

        return lambda array: from_dlpack(_Exporter(array))
    from .array import Array

    return Array


def wrap_outputs(kinds: int, arrays: tuple[np.ndarray, ...]) -> tuple[Any, ...]:
    """Turn the outputs of a call into arrays of the kind of its inputs.

    Args:
        kinds: bit set of the kinds of the inputs.
        arrays: the outputs.
    """
    if kinds in (0, 1 << NUMPY):
        return arrays
    wrap = _wrapper(kinds)
    return tuple(wrap(array) for array in arrays)
