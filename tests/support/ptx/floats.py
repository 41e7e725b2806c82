"""Float arithmetic: add, sub, mul, fma, div, min, max, neg, abs, in f16, bf16, f32, f64 and pairs.

What is not f32 or f64 is unpacked to float64, computed exactly enough there (see `rounding`), and rounded once.  NaNs are
NumPy's; programs must not depend on their payload.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ptx import syntax as ast
from ptx.decode import Decoder
from ptx.program import Op
from ptx.rounding import FORMATS, fma_f32, fma_f64, fma_odd, round_to, sum_odd
from ptx.types import TYPES, Array, Scalar, bf16_to_f32, f32_to_bf16_bits, halves, join_halves

Function = Callable[..., Array]


def rounding_mode(ins: ast.Instruction) -> str:
    """Return the rounding of an arithmetic instruction."""
    return next((part for part in ins.parts if part in ("rn", "rz", "rm", "rp", "rna")), "rn")


def unpack(bits: Array, name: str) -> Array:
    """Return values of f16 or bf16 as float64."""
    if name == "bf16":
        return bf16_to_f32(bits).astype(np.float64)
    return np.asarray(bits).view(np.float16).astype(np.float64)


def pack(values: Array, name: str) -> Array:
    """Return the bits of float64 values that a 16-bit format holds exactly."""
    if name == "bf16":
        return f32_to_bf16_bits(np.asarray(values).astype(np.float32))
    half = np.asarray(values).astype(np.float16)
    return np.where(np.isnan(half), np.uint16(0x7FFF), half.view(np.uint16))


def flush(a: Array) -> Array:
    """Replace float32 subnormals by zeros of their sign."""
    return np.where(np.abs(a) < np.float32(2.0**-126), np.copysign(np.float32(0), a), a)


def saturate(a: Array) -> Array:
    """Clamp to [0, 1]; NaN becomes 0."""
    return np.where(
        np.isnan(a), a.dtype.type(0), np.clip(a, a.dtype.type(0), a.dtype.type(1))
    ) + a.dtype.type(0)


def relu(a: Array) -> Array:
    """Clamp negative values to 0; NaN stays NaN."""
    return np.where(a < 0, a.dtype.type(0), a) + a.dtype.type(0)


def with_modifiers(function: Function, ins: ast.Instruction) -> Function:
    """Add `.ftz`, `.sat` and `.relu` to a function of floats."""
    if ins.has("ftz"):
        inner = function
        function = lambda *v: flush(inner(*(flush(x) if x.dtype == np.float32 else x for x in v)))  # noqa: E731
    if ins.has("sat"):
        plain = function
        function = lambda *v: saturate(plain(*v))  # noqa: E731
    if ins.has("relu"):
        signed = function
        function = lambda *v: relu(signed(*v))  # noqa: E731
    return function


def extremum(largest: bool, propagate: bool) -> Function:
    """Return max or min: -0 < +0; a NaN loses against a number, unless NaNs propagate."""

    def function(a: Array, b: Array) -> Array:
        a, b = np.asarray(a), np.asarray(b)
        plain = (np.fmax if largest else np.fmin)(a, b)
        zeros = (a == 0) & (b == 0)
        negative = (np.signbit(a) & np.signbit(b)) if largest else (np.signbit(a) | np.signbit(b))
        plain = np.where(zeros, np.where(negative, a.dtype.type(-0.0), a.dtype.type(0.0)), plain)
        return np.where(np.isnan(a) | np.isnan(b), a.dtype.type(np.nan), plain) if propagate else plain

    return function


def small(function64: Function, name: str, mode: str, ins: ast.Instruction) -> Function:
    """Lift a function of float64 to bits of f16 or bf16."""
    form = FORMATS[name]

    def bits(*values: Array) -> Array:
        result = round_to(function64(*(unpack(v, name) for v in values)), form, mode)
        if ins.has("sat"):
            result = saturate(result)
        if ins.has("relu"):
            result = relu(result)
        packed = pack(result, name)
        return packed.reshape(np.broadcast_shapes(*(np.shape(v) for v in values)) or packed.shape)

    return bits


def paired(function: Function) -> Function:
    """Lift a function of 16-bit values to pairs."""

    def both(*values: Array) -> Array:
        parts = [halves(v) for v in values]
        low, high = (function(*(p[i] for p in parts)) for i in (0, 1))
        return join_halves(low, high)

    return both


def emit(ins: ast.Instruction, d: Decoder, wide: Function, exact: Function, count: int) -> Op:
    """Build an instruction from its function on f32 or f64 (`wide`) and on float64 of small formats (`exact`)."""
    scalar = d.types()[-1]
    sources = ins.operands[1 : 1 + count]
    if scalar.name in ("f32", "f64"):
        return d.map(with_modifiers(wide, ins), scalar, *((operand, scalar) for operand in sources))
    base = scalar.name.removesuffix("x2")
    raw = TYPES["b32" if scalar.name.endswith("x2") else "b16"]
    function = small(exact, base, rounding_mode(ins), ins)
    if scalar.name.endswith("x2"):
        function = paired(function)
    elif base == "f16":
        # Literals of .f16 are read as bits, like everything of 16 bits here.
        sources = [
            ast.Immediate(int(np.float16(o.value).view(np.uint16))) if is_float(o) else o for o in sources
        ]
    elif base == "bf16":
        sources = [
            ast.Immediate(int(f32_to_bf16_bits(np.float32(o.value)))) if is_float(o) else o for o in sources
        ]
    return d.map(function, raw, *((operand, raw) for operand in sources))


def is_float(operand: ast.Operand) -> bool:
    """Whether an operand is a float literal."""
    return isinstance(operand, ast.Immediate) and isinstance(operand.value, float)


def directed(function_odd: Function, plain: Function, scalar: Scalar, mode: str, d: Decoder) -> Function:
    """Return a function on f32 or f64 in a rounding mode: NumPy's own for `rn`, else through float64 rounded to odd."""
    if mode == "rn":
        return plain
    if scalar.name != "f32":
        raise d.unsupported(f"rounding .{mode} of .{scalar.name}")

    def rounded(*values: Array) -> Array:
        exact = function_odd(*(np.asarray(v, np.float64) for v in values))
        shape = np.broadcast_shapes(*(np.shape(v) for v in values))
        return round_to(exact, FORMATS["f32"], mode).astype(np.float32).reshape(shape)

    return rounded


def binary(ins: ast.Instruction, d: Decoder) -> Op:
    """add, sub, mul, div, min, max."""
    scalar = d.types()[-1]
    mode = rounding_mode(ins)
    if ins.name in ("min", "max"):
        if ins.has("xorsign") or len(ins.operands) > 3:
            raise d.unsupported(ins.opcode)
        function = extremum(ins.name == "max", ins.has("NaN"))
        return emit(ins, d, function, function, 2)
    if len(d.types()) > 1:
        raise d.unsupported(f"mixed precision {ins.opcode}")
    if ins.name == "div":
        if mode != "rn":
            raise d.unsupported(f"division rounded .{mode}")
        return emit(ins, d, lambda a, b: a / b, lambda a, b: a / b, 2)
    odd: dict[str, Function] = {
        "add": sum_odd,
        "sub": lambda a, b: sum_odd(a, -b),
        "mul": lambda a, b: a * b,
    }
    plain: dict[str, Function] = {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b,
    }
    return emit(ins, d, directed(odd[ins.name], plain[ins.name], scalar, mode, d), odd[ins.name], 2)


def fused(ins: ast.Instruction, d: Decoder) -> Op:
    """`fma` and `mad` of floats: one rounding."""
    scalar = d.types()[-1]
    if len(d.types()) > 1:
        raise d.unsupported(f"mixed precision {ins.opcode}")
    plain = fma_f32 if scalar.name == "f32" else fma_f64
    return emit(ins, d, directed(fma_odd, plain, scalar, rounding_mode(ins), d), fma_odd, 3)


def sign(ins: ast.Instruction, d: Decoder) -> Op:
    """`neg` and `abs`: they change the sign bit, of NaN too."""
    scalar = d.types()[-1]
    if scalar.name in ("f32", "f64"):
        return emit(ins, d, np.negative if ins.name == "neg" else np.abs, np.abs, 1)
    pair = scalar.name.endswith("x2")
    raw = TYPES["b32" if pair else "b16"]
    bit = raw.storage.type(0x80008000 if pair else 0x8000)
    function = (lambda a: a ^ bit) if ins.name == "neg" else (lambda a: a & ~bit)
    return d.map(function, raw, (ins.operands[1], raw))
