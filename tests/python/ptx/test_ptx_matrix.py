"""`mma.sync` and `ldmatrix` of the PTX interpreter against the fragment layouts of the PTX manual, element by element."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
import ptx
import pytest
from ptx_kernels import kernel

# For element i of a fragment of a lane with group g = lane >> 2 and t = lane % 4, as the manual's figures have it: (row, column).
Place = Callable[[int, int, int], tuple[int, int]]
A_LAYOUT: dict[str, tuple[int, Place]] = {
    "f16 m16n8k16": (
        8,
        lambda i, g, t: (g if i < 2 or 4 <= i < 6 else g + 8, t * 2 + (i & 1) + (8 if i >= 4 else 0)),
    ),
    "f16 m16n8k8": (4, lambda i, g, t: (g if i < 2 else g + 8, t * 2 + (i & 1))),
    "tf32 m16n8k8": (4, lambda i, g, t: (g if i in (0, 2) else g + 8, t if i < 2 else t + 4)),
    "tf32 m16n8k4": (2, lambda i, g, t: (g if i == 0 else g + 8, t)),
    "s8 m16n8k32": (
        16,
        lambda i, g, t: (g if i < 4 or 8 <= i < 12 else g + 8, t * 4 + (i & 3) + (0 if i < 8 else 16)),
    ),
    "s8 m16n8k16": (8, lambda i, g, t: (g if i < 4 else g + 8, t * 4 + (i & 3))),
}
B_LAYOUT: dict[str, tuple[int, Place]] = {
    "f16 m16n8k16": (4, lambda i, g, t: (t * 2 + (i & 1) + (8 if i >= 2 else 0), g)),
    "f16 m16n8k8": (2, lambda i, g, t: (t * 2 + i, g)),
    "tf32 m16n8k8": (2, lambda i, g, t: (t if i == 0 else t + 4, g)),
    "tf32 m16n8k4": (1, lambda i, g, t: (t, g)),
    "s8 m16n8k32": (8, lambda i, g, t: (t * 4 + (i & 3) + (0 if i < 4 else 16), g)),
    "s8 m16n8k16": (4, lambda i, g, t: (t * 4 + i, g)),
}


def c_place(i: int, g: int, t: int) -> tuple[int, int]:
    """Return where accumulator i of a lane stands."""
    return (g if i < 2 else g + 8), t * 2 + (i & 1)


def fragments(matrix: np.ndarray, count: int, place: Place) -> np.ndarray:
    """Return the fragments of 32 lanes: (lane, element)."""
    result = np.empty((32, count), matrix.dtype)
    for lane in range(32):
        for i in range(count):
            result[lane, i] = matrix[place(i, lane >> 2, lane % 4)]
    return result


def run_mma(opcode: str, a: np.ndarray, b: np.ndarray, c: np.ndarray, results: int, **options) -> np.ndarray:
    """Run one mma on registers as they are: rows of 32-bit words per lane."""
    counts = [x.shape[1] for x in (a, b, c)]
    names = []
    body = ["  mov.u32 %r1, %tid.x;"]
    number = 10
    for pointer, count in zip(("a", "b", "c"), counts):
        body += [f"  ld.param.u64 %d1, [{pointer}];", f"  mad.wide.u32 %d1, %r1, {4 * count}, %d1;"]
        names.append([f"%r{number + i}" for i in range(count)])
        body += [f"  ld.global.u32 {r}, [%d1+{4 * i}];" for i, r in enumerate(names[-1])]
        number += count
    outputs = [f"%r{number + i}" for i in range(results)]
    lists = ["{" + ", ".join(x) + "}" for x in (outputs, *names)]
    body.append(f"  {opcode} {', '.join(lists)};")
    body += ["  ld.param.u64 %d1, [d];", f"  mad.wide.u32 %d1, %r1, {4 * results}, %d1;"]
    body += [f"  st.global.u32 [%d1+{4 * i}], {r};" for i, r in enumerate(outputs)]
    text = kernel("\n".join([*body, "  ret;"]), params=", ".join(f".param .u64 {p}" for p in "abcd"))
    memory = ptx.Memory()
    pointers = [memory.put(np.ascontiguousarray(x)) for x in (a, b, c)]
    out = memory.empty((32, results), np.uint32)
    ptx.load(text).launch("k", 1, 32, [*pointers, out], memory=memory, **options)
    return memory.get(out)


def words(values: np.ndarray) -> np.ndarray:
    """Return rows of values as rows of 32-bit words."""
    return np.ascontiguousarray(values).view(np.uint32)


FLOATS = [
    ("m16n8k16", "f16", np.float16), ("m16n8k8", "f16", np.float16), ("m16n8k16", "bf16", ml_dtypes.bfloat16),
    ("m16n8k8", "bf16", ml_dtypes.bfloat16), ("m16n8k8", "tf32", np.float32), ("m16n8k4", "tf32", np.float32),
    ("m16n8k32", "e4m3", ml_dtypes.float8_e4m3fn), ("m16n8k32", "e5m2", ml_dtypes.float8_e5m2),
]  # fmt: skip


@pytest.mark.parametrize("seed", [None, 1])
@pytest.mark.parametrize("shape,name,dtype", FLOATS)
def test_float_mma(shape: str, name: str, dtype, seed: int | None) -> None:
    layout = f"{ {2: 'f16', 4: 'tf32', 1: 's8'}[np.dtype(dtype).itemsize] } {shape}"
    k = int(shape[6:])
    rng = np.random.default_rng(k)
    a, b = rng.standard_normal((16, k)).astype(dtype), rng.standard_normal((k, 8)).astype(dtype)
    if name == "tf32":
        a, b = ((x.view(np.uint32) & 0xFFFFE000).view(np.float32) for x in (a, b))
    c = rng.standard_normal((16, 8)).astype(np.float32)
    expected = (a.astype(np.float64) @ b.astype(np.float64) + c).astype(np.float32)
    found = run_mma(
        f"mma.sync.aligned.{shape}.row.col.f32.{name}.{name}.f32",
        words(fragments(a, *A_LAYOUT[layout])), words(fragments(b, *B_LAYOUT[layout])), words(fragments(c, 4, c_place)), 4,
        adversarial=seed,
    )  # fmt: skip
    assert (found.view(np.float32) == fragments(expected, 4, c_place)).all()


def test_tf32_drops_the_bits_that_it_has_not() -> None:
    """Factors that nobody rounded count as if their lower 13 bits were zero: the next value towards zero."""
    a, b = np.zeros((16, 8), np.float32), np.eye(8, dtype=np.float32)
    a[0, :4] = 1 + 2**-10 + 2**-11, -1 - 2**-11 - 2**-23, 1 + 2**-12, np.finfo(np.float32).max
    b[0, 0] = 1 + 2**-11
    found = run_mma(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32",
        words(fragments(a, *A_LAYOUT["tf32 m16n8k8"])), words(fragments(b, *B_LAYOUT["tf32 m16n8k8"])),
        np.zeros((32, 4), np.uint32), 4,
    )  # fmt: skip
    expected = np.zeros((16, 8), np.float32)
    expected[0, :4] = 1 + 2**-10, -1, 1, np.uint32(0x7F7FE000).view(np.float32)
    assert (found.view(np.float32) == fragments(expected, 4, c_place)).all()


@pytest.mark.parametrize("shape", ["m16n8k32", "m16n8k16"])
@pytest.mark.parametrize("first,second", [("s8", "s8"), ("u8", "s8"), ("u8", "u8")])
def test_integer_mma(shape: str, first: str, second: str) -> None:
    rng = np.random.default_rng(0)
    k = int(shape[6:])
    kinds = {"s8": np.int8, "u8": np.uint8}
    a = rng.integers(0, 256, (16, k), dtype=np.uint8).view(kinds[first])
    b = rng.integers(0, 256, (k, 8), dtype=np.uint8).view(kinds[second])
    c = rng.integers(-(2**31), 2**31, (16, 8), dtype=np.int64).astype(np.int32)
    c[0, :2] = 2**31 - 1, -(2**31)
    exact = a.astype(np.int64) @ b.astype(np.int64) + c
    inputs = [
        words(fragments(a, *A_LAYOUT[f"s8 {shape}"])),
        words(fragments(b, *B_LAYOUT[f"s8 {shape}"])),
        words(fragments(c, 4, c_place)),
    ]
    opcode = f"mma.sync.aligned.{shape}.row.col.s32.{first}.{second}.s32"
    assert (run_mma(opcode, *inputs, 4).view(np.int32) == fragments(exact.astype(np.int32), 4, c_place)).all()
    clamped = np.clip(exact, -(2**31), 2**31 - 1).astype(np.int32)
    found = run_mma(opcode.replace("row.col", "row.col.satfinite"), *inputs, 4)
    assert (found.view(np.int32) == fragments(clamped, 4, c_place)).all()


def test_f16_accumulators() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((16, 16)).astype(np.float16), rng.standard_normal((16, 8)).astype(np.float16)
    c = rng.standard_normal((16, 8)).astype(np.float16)
    expected = (a.astype(np.float64) @ b.astype(np.float64) + c).astype(np.float16)
    found = run_mma(
        "mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16",
        words(fragments(a, *A_LAYOUT["f16 m16n8k16"])), words(fragments(b, *B_LAYOUT["f16 m16n8k16"])), words(fragments(c, 4, c_place)), 2,
    )  # fmt: skip
    assert (found.view(np.float16) == fragments(expected, 4, c_place)).all()


def ldmatrix(count: int, trans: str, lanes: int = 32, offset: int = 0, **options) -> np.ndarray:
    """Fill shared memory with 0, 1, 2, … (16 bits) and load `count` matrices with rows 32 bytes apart; (lane, register, half)."""
    registers = [f"%r{10 + i}" for i in range(count)]
    fill = "\n".join(f"  add.u32 %r5, %r4, {i};\n  st.shared.u16 [%r3+{2 * i}], %r5;" for i in range(16))
    stores = "\n".join(f"  st.global.u32 [%d1+{4 * i}], {r};" for i, r in enumerate(registers))
    body = f"""
  mov.u32 %r1, %tid.x;
  mov.u32 %r2, s;
  shl.b32 %r3, %r1, 5;
  add.u32 %r3, %r3, %r2;
  shl.b32 %r4, %r1, 4;
{fill}
  bar.warp.sync -1;
  add.u32 %r3, %r3, {offset};
  ldmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 {{{", ".join(registers)}}}, [%r3];
  ld.param.u64 %d1, [out];
  mad.wide.u32 %d1, %r1, {4 * count}, %d1;
{stores}
  ret;"""
    memory = ptx.Memory()
    out = memory.empty((32, count), np.uint32)
    text = kernel(body, params=".param .u64 out", declarations=".shared .align 16 .b8 s[1024];")
    ptx.load(text).launch("k", 1, lanes, [out], memory=memory, **options)
    return memory.get(out).view(np.uint16).reshape(32, count, 2)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("seed", [None, 0])
def test_ldmatrix(count: int, seed: int | None) -> None:
    # Row j of matrix i is at the address of lane 8 i + j: values 16 (8 i + j) + column.
    plain, turned = ldmatrix(count, "", adversarial=seed), ldmatrix(count, ".trans", adversarial=seed)
    for lane in range(32):
        for i in range(count):
            for half in range(2):
                row, column = lane // 4, 2 * (lane % 4) + half
                assert plain[lane, i, half] == 16 * (8 * i + row) + column
                assert turned[lane, i, half] == 16 * (8 * i + column) + row


def test_ldmatrix_faults() -> None:
    with pytest.raises(ptx.Misaligned, match=r"not a multiple of 16"):
        ldmatrix(4, "", offset=8)
    with pytest.raises(ptx.OutOfBounds, match=r"past the end of s"):
        ldmatrix(4, "", offset=32)
    with pytest.raises(ptx.Divergence, match=r"all 32 threads of a warp have to execute this"):
        ldmatrix(4, "", lanes=24)


def test_unsupported_shapes() -> None:
    for opcode in (
        "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64",
        "mma.sync.aligned.m16n8k16.row.row.f32.f16.f16.f32",
    ):
        with pytest.raises(ptx.UnsupportedPtx):
            run_mma(opcode, *(np.zeros((32, n), np.uint32) for n in (4, 2, 4)), 4)
