"""`cvt`: between integers and floats of all sizes, with rounding, clamping and packed results."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from ptx import syntax as ast
from ptx.decode import Decoder, instruction
from ptx.floats import flush, pack, relu, saturate, unpack
from ptx.program import Op
from ptx.rounding import FORMATS, round_to
from ptx.types import TYPES, Array, Scalar, halves, join_halves

_FP8 = {"e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}
_TO_INTEGER = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}


def to_double(values: Array, scalar: Scalar) -> Array:
    """Return values of a type as float64; 64-bit integers that do not fit are rounded to odd."""
    if scalar.name in ("f16", "bf16"):
        return unpack(values, scalar.name)
    values = np.asarray(values)
    if values.dtype.kind == "f" or values.dtype.itemsize < 8:
        return values.astype(np.float64)
    negative = values < 0
    size = np.where(negative, -values, values).astype(values.dtype).view(np.uint64)
    low = np.uint64(0x7FF)
    sticky = np.where(size & low != 0, np.uint64(0x800), np.uint64(0))
    odd = np.where(size >> np.uint64(53) != 0, (size & ~low) | sticky, size)
    return np.where(negative, -odd.astype(np.float64), odd.astype(np.float64))


def to_integer(x: Array, scalar: Scalar, source: Scalar) -> Array:
    """Convert whole float64 values to an integer type, clamping; NaN becomes 0 or, with 64 bits, the top bit alone."""
    bits = scalar.bits
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if scalar.kind == "s" else (0, (1 << bits) - 1)
    inside = np.where(np.isnan(x) | (x >= float(high)) | (x <= float(low)), 0.0, x)
    result = inside.astype(np.int64 if scalar.kind == "s" else np.uint64).astype(scalar.dtype)
    result = np.where(x >= float(high), scalar.dtype.type(high), result)
    result = np.where(x <= float(low), scalar.dtype.type(low), result)
    wide = source.name == "f64" or bits == 64
    nan = np.array([1 << (bits - 1) if wide else 0], np.uint64).astype(scalar.storage).view(scalar.dtype)[0]
    return np.where(np.isnan(x), nan, result).astype(scalar.dtype)


def from_double(x: Array, scalar: Scalar, mode: str) -> Array:
    """Round float64 values to a float type and return them as that type's NumPy values, or bits for bf16."""
    if scalar.name == "f64":
        return np.asarray(x, np.float64)
    rounded = round_to(x, FORMATS[scalar.name], mode)
    if scalar.name in ("f16", "bf16"):
        return pack(rounded, scalar.name).view(scalar.dtype)
    return rounded.astype(np.float32).view(scalar.dtype)


@instruction("cvt")
def convert(ins: ast.Instruction, d: Decoder) -> Op:
    """`cvt{.rnd}{.ftz}{.sat}.dtype.atype d, a{, b};`"""
    types = d.types()
    if len(types) != 2 or ins.has("rs", "scaled"):
        raise d.unsupported(ins.opcode)
    target, source = types
    if target.name.endswith("x2") or source.name.endswith("x2"):
        return packed(ins, d, target, source)
    if "pack" in ins.parts:
        raise d.unsupported(ins.opcode)
    function = scalar_conversion(ins, d, target, source)
    read = d.source(ins.operands[1], source, any_width=True)
    write = d.destination(ins.operands[0], target, any_width=True)
    return lambda m, s: write(m, s, function(read(m, s)))


def scalar_conversion(ins: ast.Instruction, d: Decoder, target: Scalar, source: Scalar):
    """Return the function of a conversion of single values."""
    mode = next((p for p in ins.parts if p in ("rn", "rz", "rm", "rp", "rna")), "rn")
    whole = next((_TO_INTEGER[p] for p in ins.parts if p in _TO_INTEGER), None)
    if target.kind != "f" and source.kind != "f":
        return integer_to_integer(target, source, ins.has("sat"))
    if target.kind != "f":
        if whole is None:
            raise d.unsupported(f"{ins.opcode}: a conversion to an integer names its rounding")
        flushed = ins.has("ftz") and source.name == "f32"

        def integer(a: Array) -> Array:
            return to_integer(whole(to_double(flush(a) if flushed else a, source)), target, source)

        return integer

    if target.name == "f64" and source.kind != "f":
        if mode != "rn":
            raise d.unsupported(ins.opcode)
        return lambda a: a.astype(np.float64)

    def real(a: Array) -> Array:
        x = to_double(a, source)
        if ins.has("ftz") and source.name == "f32":
            x = np.where(np.abs(x) < 2.0**-126, np.copysign(0.0, x), x)
        if whole is not None:
            x = np.where(np.isfinite(x), np.copysign(whole(x), x), x)
        if ins.has("sat"):
            x = saturate(x)
        if ins.has("relu"):
            x = relu(x)
        if ins.has("satfinite"):
            x = np.clip(x, -FORMATS[target.name].largest, FORMATS[target.name].largest)
        return from_double(x, target, mode)

    if (target.name, source.name) == ("f32", "f32") and whole is None and not ins.has("sat", "relu"):
        return flush if ins.has("ftz") else (lambda a: a)
    if (target.name, source.name) == ("f32", "bf16") and len(ins.parts) == 3:
        return lambda a: (np.asarray(a).astype(np.uint32) << np.uint32(16)).view(np.float32)
    if (target.name, source.name) in (("f32", "f16"), ("f64", "f32")) and len(ins.parts) == 3:
        return lambda a: a.astype(target.dtype)
    return real


def integer_to_integer(target: Scalar, source: Scalar, clamp: bool):
    """Return the conversion between integer types: cut or extended, or clamped to the target's range."""
    if not clamp:
        return lambda a: a.astype(target.dtype)
    low, high = (
        (0, 2**target.bits - 1)
        if target.kind != "s"
        else (-(2 ** (target.bits - 1)), 2 ** (target.bits - 1) - 1)
    )
    bounds = np.iinfo(source.dtype)
    low, high = max(low, bounds.min), min(high, bounds.max)
    return lambda a: np.clip(a, source.dtype.type(low), source.dtype.type(high)).astype(target.dtype)


def packed(ins: ast.Instruction, d: Decoder, target: Scalar, source: Scalar) -> Op:
    """Conversions to and from pairs: the first source goes to the upper half."""
    mode = next((p for p in ins.parts if p in ("rn", "rz", "rna")), "rn")
    base = target.name.removesuffix("x2")
    name = source.name.removesuffix("x2")

    def one(x: Array) -> Array:
        if ins.has("relu"):
            x = relu(x)
        form = FORMATS[base]
        if ins.has("satfinite") or base in _FP8:
            x = np.clip(x, -form.largest, form.largest)
        rounded = round_to(x, form, mode)
        if base in _FP8:
            return rounded.astype(_FP8[base]).view(np.uint8)
        return pack(rounded, base)

    def join(high: Array, low: Array) -> Array:
        if base in _FP8:
            return low.astype(np.uint16) | (high.astype(np.uint16) << np.uint16(8))
        return join_halves(low, high)

    if source.name == "f32":
        function = lambda a, b: join(one(a.astype(np.float64)), one(b.astype(np.float64)))  # noqa: E731
        return d.map(function, TYPES[f"b{target.bits}"], (ins.operands[1], source), (ins.operands[2], source))

    def parts(a: Array) -> tuple[Array, Array]:
        if name in _FP8:
            low, high = (
                (np.asarray(a) & np.uint16(0xFF)).astype(np.uint8),
                (np.asarray(a) >> np.uint16(8)).astype(np.uint8),
            )
            return low.view(_FP8[name]).astype(np.float64), high.view(_FP8[name]).astype(np.float64)
        low, high = halves(a)
        return unpack(low, name), unpack(high, name)

    def both(a: Array) -> Array:
        low, high = parts(a)
        return join(one(high), one(low))

    return d.map(both, TYPES[f"b{target.bits}"], (ins.operands[1], TYPES[f"b{source.bits}"]))
