"""fma, square roots, reciprocals and the approximate elementary functions.

`.approx` and `.full` results are the function in double precision, rounded to nearest: hardware may be off by the error
that the PTX manual documents for the instruction (2 units in the last place for ex2 and rcp, 2^-10.987 relative for
tanh, an absolute 2^-20.9 for sin in [-π, π], …).  Tests of kernels that use them need tolerances of at least that size.
"""

from __future__ import annotations

import numpy as np

from ptx import floats
from ptx import syntax as ast
from ptx.decode import Decoder, instruction
from ptx.program import Op
from ptx.types import Array


@instruction("fma")
def fma(ins: ast.Instruction, d: Decoder) -> Op:
    """`fma.rnd d, a, b, c`."""
    if ins.has("oob"):
        raise d.unsupported(ins.opcode)
    return floats.fused(ins, d)


def reciprocal_root(a: Array) -> Array:
    """1 / √a."""
    return 1.0 / np.sqrt(a)


FUNCTIONS = {
    "ex2": np.exp2,
    "lg2": np.log2,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "rcp": np.reciprocal,
    "rsqrt": reciprocal_root,
    "sqrt": np.sqrt,
}


@instruction(*FUNCTIONS)
def elementary(ins: ast.Instruction, d: Decoder) -> Op:
    """`ex2.approx.ftz.f32 d, a` and its like; `sqrt.rn` and `rcp.rn` are correctly rounded."""
    function = FUNCTIONS[ins.name]
    scalar = d.types()[-1]
    if ins.has("rz", "rm", "rp"):
        raise d.unsupported(ins.opcode)

    def wide(a: Array) -> Array:
        return function(np.asarray(a, np.float64)).astype(scalar.dtype)

    return floats.emit(ins, d, wide, function, 1)
