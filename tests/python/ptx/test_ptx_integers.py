"""Integer instructions of the PTX interpreter against Python's integers."""

from __future__ import annotations

import numpy as np
import pytest
from ptx_kernels import apply, edge_integers, pairs

TYPES = [
    ("u16", 16, False),
    ("s16", 16, True),
    ("u32", 32, False),
    ("s32", 32, True),
    ("u64", 64, False),
    ("s64", 64, True),
]


def wrap(value: int, bits: int, signed: bool) -> int:
    """Return a value modulo 2^bits."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def truncated(a: int, b: int) -> int:
    """Return a / b rounded to zero."""
    quotient = abs(a) // abs(b)
    return -quotient if (a < 0) != (b < 0) else quotient


OPERATIONS = {
    "add": lambda a, b, bits: a + b,
    "sub": lambda a, b, bits: a - b,
    "mul.lo": lambda a, b, bits: a * b,
    "mul.hi": lambda a, b, bits: (a * b) >> bits,
    "min": lambda a, b, bits: min(a, b),
    "max": lambda a, b, bits: max(a, b),
    "div": lambda a, b, bits: truncated(a, b) if b else -1,
    "rem": lambda a, b, bits: a - truncated(a, b) * b if b else a,
}


@pytest.mark.parametrize("name,bits,signed", TYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_binary(operation: str, name: str, bits: int, signed: bool) -> None:
    a, b = pairs(edge_integers(bits, signed), count=600)
    (found,) = apply(f"{operation}.{name} %x, %a, %b;", [a, b], [a.dtype])
    expected = [wrap(OPERATIONS[operation](x, y, bits), bits, signed) for x, y in zip(a.tolist(), b.tolist())]
    assert found.tolist() == expected


@pytest.mark.parametrize("name,bits,signed", TYPES[:4])
def test_wide_products_and_sums(name: str, bits: int, signed: bool) -> None:
    a, b = pairs(edge_integers(bits, signed), count=600)
    wide = np.dtype(f"{'i' if signed else 'u'}{bits // 4}")
    c = np.arange(a.size).astype(wide) * wide.type(77)
    body = f"mul.wide.{name} %x, %a, %b;\n mad.wide.{name} %y, %a, %b, %c;\n mad.lo.{name} %z, %a, %b, %a;"
    product, total, low = apply(body, [a, b, c], [wide, wide, a.dtype])
    exact = [x * y for x, y in zip(a.tolist(), b.tolist())]
    assert product.tolist() == [wrap(p, 2 * bits, signed) for p in exact]
    assert total.tolist() == [wrap(p + z, 2 * bits, signed) for p, z in zip(exact, c.tolist())]
    assert low.tolist() == [wrap(p + x, bits, signed) for p, x in zip(exact, a.tolist())]


@pytest.mark.parametrize("name,bits,signed", TYPES)
def test_shifts_clamp(name: str, bits: int, signed: bool) -> None:
    a = np.repeat(edge_integers(bits, signed)[::5], 9)
    n = np.resize(np.array([0, 1, 7, bits - 1, bits, bits + 1, 2 * bits, 255, 2**32 - 1], np.uint32), a.size)
    left, right = apply(f"shl.b{bits} %x, %a, %b;\n shr.{name} %y, %a, %b;", [a, n], [a.dtype] * 2)
    assert left.tolist() == [
        wrap(x << min(k, 2 * bits), bits, signed) for x, k in zip(a.tolist(), n.tolist())
    ]
    assert right.tolist() == [
        wrap(x >> min(k, 2 * bits), bits, signed) for x, k in zip(a.tolist(), n.tolist())
    ]


@pytest.mark.parametrize("name,bits,signed", TYPES[2:])
def test_fields(name: str, bits: int, signed: bool) -> None:
    rng = np.random.default_rng(1)
    a = rng.permutation(np.resize(edge_integers(bits, signed), 400))
    b = rng.permutation(a)
    at = rng.choice([0, 1, 5, bits // 2, bits - 1, bits, bits + 3, 255], a.size).astype(np.uint32)
    count = rng.choice([0, 1, 4, bits // 2, bits - 1, bits, bits + 1, 255], a.size).astype(np.uint32)
    (taken,) = apply(f"bfe.{name} %x, %a, %b, %c;", [a, at, count], [a.dtype])
    (placed,) = apply(f"bfi.b{bits} %x, %a, %b, %c, %d;", [a, b, at, count], [a.dtype])
    for i in range(a.size):
        x, y, p, n = int(a[i]), int(b[i]), int(at[i]), int(count[i])
        raw = x & ((1 << bits) - 1)
        sign = raw >> min(p + n - 1, bits - 1) & 1 if signed and n else 0
        value = 0
        for k in range(bits):
            bit = raw >> (p + k) & 1 if k < n and p + k < bits else sign
            value |= bit << k
        assert int(taken[i]) == wrap(value, bits, signed), (x, p, n)
        mask = (((1 << n) - 1) << p) & ((1 << bits) - 1)
        assert int(placed[i]) == wrap((y & ~mask) | ((raw << p) & mask), bits, signed), (x, y, p, n)


def test_counting() -> None:
    for bits in (32, 64):
        a = edge_integers(bits, False)
        body = f"clz.b{bits} %x, %a;\n popc.b{bits} %y, %a;\n bfind.u{bits} %z, %a;"
        zeros, ones, top = apply(body, [a], [np.uint32] * 3)
        assert zeros.tolist() == [bits - x.bit_length() for x in a.tolist()]
        assert ones.tolist() == [x.bit_count() for x in a.tolist()]
        assert top.tolist() == [(x.bit_length() - 1) % 2**32 for x in a.tolist()]
        (turned,) = apply(f"brev.b{bits} %x, %a;", [a], [a.dtype])
        assert turned.tolist() == [int(f"{x:0{bits}b}"[::-1], 2) for x in a.tolist()]


def test_logic_and_selection() -> None:
    a, b = pairs(edge_integers(32, False), count=400)
    both, either, odd = apply(
        "and.b32 %x, %a, %b;\n or.b32 %y, %a, %b;\n xor.b32 %z, %a, %b;", [a, b], [np.uint32] * 3
    )
    assert (both == a & b).all() and (either == a | b).all() and (odd == a ^ b).all()
    body = "not.b32 %x, %a;\n cnot.b32 %y, %a;\n setp.gt.s32 %p2, %a, %b;\n selp.b32 %z, %a, %b, %p2;"
    inverse, zero, largest = apply(body, [a, b], [np.uint32] * 3)
    assert (inverse == ~a).all() and (zero == (a == 0)).all()
    assert (largest == np.maximum(a.view(np.int32), b.view(np.int32)).view(np.uint32)).all()


@pytest.mark.parametrize("table", [0x00, 0xFF, 0xE8, 0x96, 0x6A, 0xCA, 0x80])
def test_lop3(table: int) -> None:
    rng = np.random.default_rng(table)
    a, b, c = rng.integers(0, 2**32, (3, 100), dtype=np.uint32)
    (found,) = apply(f"lop3.b32 %x, %a, %b, %c, {table};", [a, b, c], [np.uint32])
    for x, y, z, value in zip(a.tolist(), b.tolist(), c.tolist(), found.tolist()):
        bits = [table >> (4 * (x >> k & 1) + 2 * (y >> k & 1) + (z >> k & 1)) & 1 for k in range(32)]
        assert value == sum(bit << k for k, bit in enumerate(bits))


def test_prmt() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.integers(0, 2**32, (3, 200), dtype=np.uint32)
    (found,) = apply("prmt.b32 %x, %a, %b, %c;", [a, b, c], [np.uint32])
    for x, y, z, value in zip(a.tolist(), b.tolist(), c.tolist(), found.tolist()):
        source = [*x.to_bytes(4, "little"), *y.to_bytes(4, "little")]
        result = []
        for i in range(4):
            pick = z >> 4 * i & 15
            byte = source[pick & 7]
            result.append((255 if byte >> 7 else 0) if pick & 8 else byte)
        assert value == int.from_bytes(bytes(result), "little")
    modes = {
        "f4e": [3, 2, 1, 0],
        "b4e": [5, 6, 7, 0],
        "rc8": [1, 1, 1, 1],
        "ecl": [3, 2, 1, 1],
        "ecr": [1, 1, 1, 0],
    }
    data = np.array([0x33221100], np.uint32), np.array([0x77665544], np.uint32)
    one = {"f4e": 0, "b4e": 0, "rc8": 1, "ecl": 1, "ecr": 1}
    for mode, picks in modes.items():
        (found,) = apply(f"prmt.b32.{mode} %x, %a, %b, {one[mode]};", data, [np.uint32])
        assert found[0] == int("".join(f"{p}{p}" for p in picks), 16), mode


def test_funnel_shift() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2**32, (2, 200), dtype=np.uint32)
    n = np.resize(np.array([0, 1, 13, 31, 32, 33, 64, 2**31], np.uint32), 200)
    for mode in ("wrap", "clamp"):
        left, right = apply(
            f"shf.l.{mode}.b32 %x, %a, %b, %c;\n shf.r.{mode}.b32 %y, %a, %b, %c;", [a, b, n], [np.uint32] * 2
        )
        for x, y, k, l, r in zip(a.tolist(), b.tolist(), n.tolist(), left.tolist(), right.tolist()):
            k = min(k, 32) if mode == "clamp" else k & 31
            whole = y << 32 | x
            assert l == (whole << k >> 32) % 2**32 and r == (whole >> k) % 2**32


def test_dot_products_of_bytes() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.integers(0, 2**32, (3, 100), dtype=np.uint32)
    signed, mixed, unsigned = apply(
        "dp4a.s32.s32 %x, %a, %b, %c;\n dp4a.u32.s32 %y, %a, %b, %c;\n dp4a.u32.u32 %z, %a, %b, %c;",
        [a, b, c],
        [np.uint32] * 3,
    )
    bytes_ = [v[:, None].view(np.uint8).astype(np.int64) for v in (a, b)]
    with_sign = [v[:, None].view(np.int8).astype(np.int64) for v in (a, b)]
    for found, x, y in ((signed, *with_sign), (mixed, bytes_[0], with_sign[1]), (unsigned, *bytes_)):
        assert (found == (((x * y).sum(1) + c) & 0xFFFFFFFF).astype(np.uint32)).all()


def test_saturation_and_sad() -> None:
    a, b = pairs(edge_integers(32, True), count=400)
    total, difference, distance = apply(
        "add.sat.s32 %x, %a, %b;\n sub.sat.s32 %y, %a, %b;\n sad.s32 %z, %a, %b, 3;", [a, b], [np.int32] * 3
    )
    wide_a, wide_b = a.astype(np.int64), b.astype(np.int64)
    assert (total == np.clip(wide_a + wide_b, -(2**31), 2**31 - 1)).all()
    assert (difference == np.clip(wide_a - wide_b, -(2**31), 2**31 - 1)).all()
    assert distance.tolist() == [wrap(abs(x - y) + 3, 32, True) for x, y in zip(a.tolist(), b.tolist())]


def test_carry_of_small_types_and_packing() -> None:
    a = np.arange(1, 200, dtype=np.uint64) * np.uint64(0x0123456789ABCDEF)
    body = """  mov.b64 {%r10, %r11}, %a;
  mov.b32 {%h1, %h2}, %r10;
  mov.b32 %r12, {%h2, %h1};
  mov.b64 %x, {%r11, %r12};
  neg.s64 %y, %a;
  abs.s64 %z, %a;"""
    swapped, negative, size = apply(body, [a], [np.uint64, np.int64, np.int64])
    low, high = a & np.uint64(0xFFFFFFFF), a >> np.uint64(32)
    turned = (low >> np.uint64(16)) | ((low & np.uint64(0xFFFF)) << np.uint64(16))
    assert (swapped == high | turned << np.uint64(32)).all()
    assert (negative == -a.view(np.int64)).all() and (size == np.abs(a.view(np.int64))).all()


def test_sums_of_several_words() -> None:
    a, b = pairs(edge_integers(64, False), count=600)
    low_high = "  mov.b64 {%r10, %r11}, %a;\n  mov.b64 {%r12, %r13}, %b;\n"
    total = (
        low_high
        + "  add.cc.u32 %r14, %r10, %r12;\n  addc.u32 %r15, %r11, %r13;\n  mov.b64 %x, {%r14, %r15};\n"
    )
    total += "  sub.cc.u32 %r14, %r10, %r12;\n  subc.u32 %r15, %r11, %r13;\n  mov.b64 %y, {%r14, %r15};"
    plus, minus = apply(total, [a, b], [np.uint64] * 2)
    assert (plus == a + b).all() and (minus == a - b).all()
    squares = """
  mul.lo.u64 %d10, %a, %b;
  mad.lo.cc.u64 %x, %a, %b, %a;
  madc.hi.cc.u64 %y, %a, %b, %b;
  addc.u64 %z, 0, 0;"""
    words = apply(squares, [a, b], [np.uint64] * 3)
    for x, y, low, middle, high in zip(a.tolist(), b.tolist(), *(w.tolist() for w in words)):
        assert low + (middle << 64) + (high << 128) == x * y + x + (y << 64)


def test_fields_at_literal_places() -> None:
    a = edge_integers(32, True)
    for at, count in ((0, 8), (8, 8), (24, 8), (5, 1), (0, 32), (30, 2), (30, 4), (3, 0)):
        literal, general = apply(
            f"bfe.s32 %x, %a, {at}, {count};\n mov.u32 %r8, {at};\n mov.u32 %r9, {count};\n bfe.s32 %y, %a, %r8, %r9;",
            [a], [np.int32] * 2,
        )  # fmt: skip
        assert (literal == general).all()
