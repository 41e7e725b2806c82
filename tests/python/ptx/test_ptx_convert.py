"""`cvt` of the PTX interpreter: every pair of types, rounding, clamping, packed forms."""

from __future__ import annotations

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from ptx_kernels import apply, bfloat16, edge_floats, edge_integers, rounded, same

INTEGERS = {f"{k}{b}": np.dtype(f"{'i' if k == 's' else 'u'}{b // 8}") for b in (8, 16, 32, 64) for k in "us"}
FLOATS = {
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
}


def range_of(name: str) -> tuple[int, int]:
    """Return the smallest and the largest value of an integer type."""
    info = np.iinfo(INTEGERS[name])
    return int(info.min), int(info.max)


@pytest.mark.parametrize("source", INTEGERS)
def test_between_integers(source: str) -> None:
    a = edge_integers(INTEGERS[source].itemsize * 8, source[0] == "s")
    for target, kind in INTEGERS.items():
        if target == source:
            continue
        low, high = range_of(target)
        inside = low <= range_of(source)[0] and range_of(source)[1] <= high
        (plain,) = apply(f"cvt.{target}.{source} %x, %a;", [a], [kind])
        clamped = plain if inside else apply(f"cvt.sat.{target}.{source} %x, %a;", [a], [kind])[0]
        bits = kind.itemsize * 8
        for value, wrapped, limited in zip(a.tolist(), plain.tolist(), clamped.tolist()):
            assert (wrapped - value) % (1 << bits) == 0
            assert limited == min(max(value, low), high)


@pytest.mark.parametrize(
    "mode,function", [("rni", round), ("rzi", math.trunc), ("rmi", math.floor), ("rpi", math.ceil)]
)
@pytest.mark.parametrize("source", ["f16", "f32", "f64"])
def test_floats_to_integers(source: str, mode: str, function) -> None:
    kind = FLOATS[source]
    more = np.array(
        [0.5, 1.5, 2.5, -0.5, -1.5, 2.0**31, 2.0**32, 2.0**63, 2.0**64, -(2.0**63), 1e30, 127.5, -128.5]
    )
    with np.errstate(over="ignore"):
        a = np.concatenate([edge_floats(kind), more.astype(kind)])
    for target in ("s32", "u32", "s64", "u64", "s16", "u8"):
        (found,) = apply(f"cvt.{mode}.{target}.{source} %x, %a;", [a], [INTEGERS[target]])
        low, high = range_of(target)
        for value, result in zip(a.astype(np.float64).tolist(), found.tolist()):
            if math.isnan(value):
                wide = source == "f64" or target in ("s64", "u64")
                bits = INTEGERS[target].itemsize * 8
                assert result % (1 << bits) == (1 << (bits - 1) if wide else 0)
            elif math.isinf(value):
                assert result == (high if value > 0 else low)
            else:
                assert result == min(max(function(value), low), high), (value, target)


def test_integers_to_floats_round_once() -> None:
    for source in ("u32", "s32", "u64", "s64"):
        a = edge_integers(INTEGERS[source].itemsize * 8, source[0] == "s")
        for target, kind in FLOATS.items():
            for mode in ("rn", "rz", "rp"):
                if mode != "rn" and target == "f64":
                    continue
                (found,) = apply(f"cvt.{mode}.{target}.{source} %x, %a;", [a], [kind])
                for value, result in zip(a.tolist(), found.astype(np.float64).tolist()):
                    assert result == rounded(Fraction(value), target, mode), (value, target, mode)


@pytest.mark.parametrize("target", ["f16", "bf16"])
@pytest.mark.parametrize("mode", ["rn", "rz"])
def test_to_small_floats(target: str, mode: str) -> None:
    rng = np.random.default_rng(3)
    a = np.concatenate([edge_floats(np.float32), rng.standard_normal(500).astype(np.float32) * 100])
    with np.errstate(over="ignore"):
        following = np.nextafter(a, np.float32(np.inf))
    a = np.concatenate([a, following, np.array([65519, 65520, 65536, 1e-8, 2.0**-25], np.float32)])
    kind = FLOATS[target]
    plain, positive = apply(
        f"cvt.{mode}.{target}.f32 %x, %a;\n cvt.{mode}.relu.{target}.f32 %y, %a;", [a], [kind, kind]
    )
    for value, result, clamped in zip(
        a.tolist(), plain.astype(np.float64).tolist(), positive.astype(np.float64).tolist()
    ):
        if math.isfinite(value):
            assert result == rounded(Fraction(value), target, mode), value
            assert clamped == max(result, 0)
        else:
            assert same(np.array(result), np.array(value))
    (back,) = apply(f"cvt.f32.{target} %x, %a;", [plain], [np.float32])
    assert same(back, plain)


def test_packed_conversions() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 300)).astype(np.float32)
    halves, brains, positive = apply(
        "cvt.rn.f16x2.f32 %x, %a, %b;\n cvt.rn.bf16x2.f32 %y, %a, %b;\n cvt.rn.relu.bf16x2.f32 %z, %a, %b;",
        [a, b], [np.uint32] * 3,
    )  # fmt: skip
    assert same(halves.view(np.float16), np.stack([b, a], 1).astype(np.float16).ravel())
    expected = bfloat16(np.stack([b, a], 1)).ravel()
    assert same(brains.view(ml_dtypes.bfloat16), expected)
    assert same(positive.view(ml_dtypes.bfloat16), np.where(expected > 0, expected, bfloat16(0)))


def test_eight_bit_floats() -> None:
    rng = np.random.default_rng(3)
    a, b = (rng.standard_normal((2, 300)) * 200).astype(np.float32)
    (four,) = apply("cvt.rn.satfinite.e4m3x2.f32 %x, %a, %b;", [a, b], [np.uint16])
    (five,) = apply("cvt.rn.satfinite.e5m2x2.f32 %x, %a, %b;", [a, b], [np.uint16])
    both = np.stack([b, a], 1).ravel()
    assert same(four.view(ml_dtypes.float8_e4m3fn), np.clip(both, -448, 448).astype(ml_dtypes.float8_e4m3fn))
    assert same(five.view(ml_dtypes.float8_e5m2), both.astype(ml_dtypes.float8_e5m2))
    (wide,) = apply("cvt.rn.f16x2.e4m3x2 %x, %a;", [four], [np.uint32])
    assert same(wide.view(np.float16), four.view(ml_dtypes.float8_e4m3fn))


def test_tf32() -> None:
    a = np.array([1 + 2**-11, 1 + 2**-11 + 2**-20, 1 + 3 * 2**-11, -1 - 2**-11, 1 + 2**-12], np.float32)
    (found,) = apply("cvt.rna.tf32.f32 %x, %a;", [a], [np.float32])
    assert found.tolist() == [1 + 2**-10, 1 + 2**-10, 1 + 2 * 2**-10, -1 - 2**-10, 1]


def test_rounding_to_whole_floats() -> None:
    a = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.4, -0.4, 1e10, np.inf, -np.inf, np.nan, -0.0], np.float32)
    nearest, zero, down = apply(
        "cvt.rni.f32.f32 %x, %a;\n cvt.rzi.f32.f32 %y, %a;\n cvt.rmi.f32.f32 %z, %a;", [a], [np.float32] * 3
    )
    assert same(nearest, np.rint(a)) and same(zero, np.trunc(a)) and same(down, np.floor(a))
    up, inside = apply("cvt.rpi.f32.f32 %x, %a;\n cvt.sat.f32.f32 %y, %a;", [a], [np.float32] * 2)
    assert same(up, np.ceil(a)) and (inside == np.where(np.isnan(a), 0, np.clip(a, 0, 1))).all()


def test_narrow_sources_and_wide_destinations() -> None:
    a = np.array([0x123456FF, 0x80, 0x7F, 0xFFFF8000], np.uint32)
    (found,) = apply("cvt.s32.s8 %x, %a;", [a], [np.int32])
    assert found.tolist() == [-1, -128, 127, 0]
    (found,) = apply("cvt.u16.u32 %h1, %a;\n cvt.u64.u16 %x, %h1;", [a], [np.uint64])
    assert found.tolist() == [0x56FF, 0x80, 0x7F, 0x8000]
