"""An interpreter of PTX on NumPy: runs the code that the CUDA target emits on machines without a GPU.

    module = ptx.load(text)
    memory = ptx.Memory()
    x, y = memory.put(array), memory.empty(array.shape, array.dtype)
    module.launch("kernel", grid, block, [x, y, array.size], memory=memory, adversarial=seed)
    result = memory.get(y)

See docs/internals/ptx-interpreter.md for how it works and what it cannot see.
"""

from ptx.errors import (
    BadOperand,
    Deadlock,
    Divergence,
    InFlight,
    Misaligned,
    MissingFence,
    NoProgress,
    OutOfBounds,
    PtxError,
    PtxFault,
    PtxSyntaxError,
    Race,
    ReadOnly,
    TooEarly,
    Trapped,
    Uninitialised,
    UnsupportedPtx,
)
from ptx.launch import Module, load
from ptx.memory import Memory
from ptx.tensormap import tensor_map

__all__ = [
    "BadOperand",
    "Deadlock",
    "Divergence",
    "InFlight",
    "Memory",
    "Misaligned",
    "MissingFence",
    "Module",
    "NoProgress",
    "OutOfBounds",
    "PtxError",
    "PtxFault",
    "PtxSyntaxError",
    "Race",
    "ReadOnly",
    "TooEarly",
    "Trapped",
    "Uninitialised",
    "UnsupportedPtx",
    "load",
    "tensor_map",
]
