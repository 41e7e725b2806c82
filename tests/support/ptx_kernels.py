"""Small PTX kernels for tests of the interpreter: one instruction, or a few, applied lane by lane."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import ptx

HEADER = ".version 8.6\n.target sm_90a\n.address_size 64\n"
_LETTERS = "abcdefgh"
_CLASS = {1: "u8", 2: "b16", 4: "b32", 8: "b64"}


def kernel(body: str, *, params: str = "", name: str = "k", declarations: str = "", module: str = "") -> str:
    """Return a module with one kernel; it has registers of all kinds: %p, %h (16 bits), %r, %d (64 bits)."""
    return f"""{HEADER}{module}
.visible .entry {name}({params})
{{
  .reg .pred %p<32>;
  .reg .b16 %h<64>;
  .reg .b32 %r<128>;
  .reg .b64 %d<64>;
  {declarations}
{body}
}}
"""


def lanewise(body: str, inputs: Sequence[np.dtype], outputs: Sequence[np.dtype]) -> str:
    """Return a kernel that loads a[i], b[i], … into %a, %b, …, runs `body`, and stores %x, %y, …"""
    types = [*inputs, *outputs]
    names = [*_LETTERS[: len(inputs)], *"xyz"[: len(outputs)]]
    params = ", ".join([f".param .u64 p{i}" for i in range(len(types))] + [".param .u32 n"])
    declare, loads, stores = [], [], []
    for i, (kind, name) in enumerate(zip(types, names)):
        size = np.dtype(kind).itemsize
        declare.append(f".reg .{'b16' if size == 1 else _CLASS[size]} %{name};")
        move = [f"  ld.param.u64 %d3, [p{i}];", f"  mad.wide.u32 %d4, %r1, {size}, %d3;"]
        if i < len(inputs):
            loads += [*move, f"  ld.global.{_CLASS[size]} %{name}, [%d4];"]
        else:
            stores += [*move, f"  st.global.{_CLASS[size]} [%d4], %{name};"]
    start = """  mov.u32 %r1, %ctaid.x;
  mov.u32 %r2, %ntid.x;
  mov.u32 %r3, %tid.x;
  mad.lo.u32 %r1, %r1, %r2, %r3;
  ld.param.u32 %r4, [n];
  setp.ge.u32 %p1, %r1, %r4;
  @%p1 bra END;"""
    text = "\n".join([start, *loads, body, *stores, "END:", "  ret;"])
    return kernel(text, params=params, declarations=" ".join(declare))


def apply(body: str, arrays: Sequence[Any], outputs: Sequence[Any], **options: Any) -> list[np.ndarray]:
    """Run a lanewise kernel over arrays of one length; bfloat16 and the like travel as they are."""
    arrays = [np.asarray(a) for a in arrays]
    count = arrays[0].size
    kinds = [np.dtype(o) for o in outputs]
    module = ptx.load(lanewise(body, [a.dtype for a in arrays], kinds))
    memory = ptx.Memory()
    pointers = [memory.put(a, writable=False) for a in arrays]
    results = [memory.empty(count, kind) for kind in kinds]
    module.launch("k", -(-count // 128), 128, [*pointers, *results, count], memory=memory, **options)
    return [memory.get(pointer) for pointer in results]


def bfloat16(values: Any) -> np.ndarray:
    """Return values as bfloat16."""
    return np.asarray(values).astype(ml_dtypes.bfloat16)


def edge_floats(dtype: Any) -> np.ndarray:
    """Return zeros, infinities, NaN, subnormals, extremes and ordinary values of a float type."""
    kind = np.dtype(dtype)
    info = ml_dtypes.finfo(kind)
    tiny, small = float(info.smallest_subnormal), float(info.smallest_normal)
    values = [
        0.0,
        1.0,
        1.5,
        0.1,
        3.0,
        float(info.max),
        small,
        tiny,
        small - tiny,
        np.inf,
        1 + float(info.eps),
        255.75,
    ]
    return np.array([*values, *(-v for v in values), np.nan]).astype(kind)


def edge_integers(bits: int, signed: bool) -> np.ndarray:
    """Return extremes, powers of two and their neighbours of an integer type."""
    raw = {0, 1, 2, 3, 5, 7, 255, 256}
    raw |= {(1 << k) + e for k in range(bits) for e in (-1, 0, 1)}
    raw |= {(-v) % (1 << bits) for v in list(raw)}
    kept = sorted(v & ((1 << bits) - 1) for v in raw)
    return np.array(kept, np.uint64).astype(f"u{bits // 8}").view(f"{'i' if signed else 'u'}{bits // 8}")


def pairs(values: np.ndarray, seed: int = 0, count: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays with combinations of the values, all of them if there are not more than `count`."""
    a, b = (x.ravel() for x in np.meshgrid(values, values))
    if a.size > count:
        chosen = np.random.default_rng(seed).permutation(a.size)[:count]
        a, b = a[chosen], b[chosen]
    return a, b


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays hold the same values, with the sign of zeros, any NaN equal to any NaN."""
    a, b = np.asarray(a), np.asarray(b)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    nan = np.isnan(wide_a) & np.isnan(wide_b)
    return bool((((wide_a == wide_b) & (np.signbit(wide_a) == np.signbit(wide_b))) | nan).all())


def rounded(exact: Fraction, kind: str, mode: str = "rn") -> float:
    """Round a fraction to a format; zero stands for an exact zero of unknown sign."""
    precision, lowest, largest = {
        "f16": (11, -14, 65504.0),
        "bf16": (8, -126, float(ml_dtypes.finfo(ml_dtypes.bfloat16).max)),
        "f32": (24, -126, float(np.finfo(np.float32).max)),
        "f64": (53, -1022, float(np.finfo(np.float64).max)),
    }[kind]
    if not exact:
        return 0.0
    size, negative = abs(exact), exact < 0
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if Fraction(2) ** exponent > size:
        exponent -= 1
    unit = Fraction(2) ** (max(exponent, lowest) - precision + 1)
    whole, rest = divmod(size, unit)
    up = {
        "rn": rest * 2 > unit or (rest * 2 == unit and whole % 2),
        "rz": False,
        "rm": negative,
        "rp": not negative,
    }[mode]
    value = (whole + (1 if rest and up else 0)) * unit
    if value > Fraction(largest):
        to_infinity = mode == "rn" or (mode == "rp" and not negative) or (mode == "rm" and negative)
        result = math.inf if to_infinity else largest
    else:
        result = float(value)
    return -result if negative else result
